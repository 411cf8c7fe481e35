"""The dashboards."""

from deploy.observe.dashboards.model import Dashboard, Panel, Query, Row, Unit, Variable

CDC = "`onpoint up --cdc` and registered tables"
NEWS = "the health checks of quality"


def _panel(
    title: str, *queries: tuple[str, str], unit: Unit = "short", says: str = "", only_under: str = ""
) -> Panel:
    return Panel(title, tuple(Query(*query) for query in queries), unit, says, only_under=only_under)


def _stat(title: str, expr: str, unit: Unit = "short", says: str = "", only_under: str = "") -> Panel:
    return Panel(title, (Query(expr),), unit, says, "stat", only_under)


OVERVIEW = Dashboard(
    "onpoint-overview",
    "OnPoint: overview",
    (
        Row(
            "Now",
            (
                _stat("Services that answer", 'sum(up{job="onpoint"})'),
                _stat("Runs that go on", "max(onpoint_open_runs)"),
                _stat("Runs that succeeded, last 24 h", "min(onpoint_run_success_ratio > 0)", "percentunit"),
                _stat("Longest wait of a record", "max(service:onpoint_consumer_lag_seconds:max)", "s"),
                _stat(
                    "Pages",
                    'count(ALERTS{alertstate="firing", severity="page"})',
                    only_under="an alert that pages",
                ),
                _stat(
                    "Tickets",
                    'count(ALERTS{alertstate="firing", severity="ticket"})',
                    only_under="an alert that is a ticket",
                ),
            ),
        ),
        Row(
            "Work",
            (
                _panel(
                    "Rows by stage", ("sum by (stage) (stage:onpoint_rows:rate5m)", "{{stage}}"), unit="rows"
                ),
                _panel(
                    "Rows that were refused",
                    (
                        "sum by (stage, reason) (rate(onpoint_rows_rejected_total[5m]))",
                        "{{stage}} {{reason}}",
                    ),
                    unit="rows",
                    only_under="rows that are refused",
                ),
                _panel(
                    "Records by service",
                    ("sum by (service) (service:onpoint_records_handled:rate5m)", "{{service}}"),
                    unit="ops",
                ),
                _panel(
                    "Records that wait",
                    ("sum by (service) (service:onpoint_consumer_lag_records:sum)", "{{service}}"),
                ),
                _panel(
                    "Longest wait of a record",
                    ("max by (service) (service:onpoint_consumer_lag_seconds:max)", "{{service}}"),
                    unit="s",
                ),
                _panel(
                    "Runs that ended",
                    ("sum by (status) (increase(onpoint_runs_completed_total[1h]))", "{{status}}"),
                ),
            ),
        ),
        Row(
            "Faults",
            (
                _panel(
                    "Dead letters in 10 minutes",
                    ("service:onpoint_dead_letters:increase10m", "{{service}}"),
                    only_under="records that cannot be handled",
                ),
                _panel(
                    "Budgets: how fast they burn",
                    ("slo:onpoint_bad:ratio1h / on (slo) group_left () slo:onpoint_budget:ratio", "{{slo}}"),
                    says="1 spends the budget of 30 days in 30 days; 14.4 in two.",
                ),
                _panel(
                    "Health checks",
                    ("max by (check) (onpoint_health_status)", "{{check}}"),
                    unit="none",
                    says="0 healthy, 1 warning, 2 stale or without data, 3 failed.",
                    only_under=NEWS,
                ),
            ),
        ),
    ),
)

RUN = Dashboard(
    "onpoint-run",
    "OnPoint: run",
    (
        Row(
            "Progress",
            (
                _stat("Time to go", 'max(onpoint_run_eta_seconds{run=~"$run"})', "s"),
                _panel(
                    "Rows done",
                    ('sum by (stage) (onpoint_run_rows{run=~"$run"})', "{{stage}}"),
                    ('sum(onpoint_run_promised_rows{run=~"$run"})', "promised"),
                ),
                _panel("Rows to go", ('sum by (stage) (onpoint_run_rows_to_go{run=~"$run"})', "{{stage}}")),
                _panel(
                    "Rows per second",
                    ('sum by (stage) (onpoint_run_rows_per_second{run=~"$run"})', "{{stage}}"),
                    unit="rows",
                ),
                _panel(
                    "Time to go by dataset",
                    (
                        'max by (dataset, stage) (onpoint_run_stage_eta_seconds{run=~"$run"})',
                        "{{dataset}} {{stage}}",
                    ),
                    unit="s",
                ),
                _panel(
                    "Time of each stage",
                    (
                        'max by (dataset, stage) (onpoint_run_stage_seconds{run=~"$run"})',
                        "{{dataset}} {{stage}}",
                    ),
                    unit="s",
                ),
            ),
        ),
        Row(
            "All runs",
            (
                _panel(
                    "Oldest batch that waits",
                    ("max by (stage) (onpoint_oldest_unfinished_batch_age_seconds)", "{{stage}}"),
                    unit="s",
                ),
                _panel(
                    "Oldest run that goes on", ("max(onpoint_oldest_open_run_age_seconds)", "age"), unit="s"
                ),
                _panel(
                    "How long runs took, median and 95 %",
                    ("histogram_quantile(0.5, sum by (le) (rate(onpoint_run_seconds_bucket[1h])))", "50 %"),
                    ("histogram_quantile(0.95, sum by (le) (rate(onpoint_run_seconds_bucket[1h])))", "95 %"),
                    unit="s",
                ),
                _panel(
                    "Rows that were not refused",
                    ("min(onpoint_row_success_ratio > 0)", "share"),
                    unit="percentunit",
                ),
                _panel(
                    "Checks that failed",
                    (
                        "sum by (dataset, severity) (increase(onpoint_checks_failed_total[1h]))",
                        "{{dataset}} {{severity}}",
                    ),
                    only_under="a data check that fails",
                ),
                _panel(
                    "Datasets without a run in time",
                    ("max by (dataset) (onpoint_run_overdue)", "{{dataset}}"),
                    only_under="`expect:` in a dataset file",
                ),
            ),
        ),
    ),
    (Variable("run", "onpoint_run_rows"),),
)

_OF_SERVICE = 'service=~"$service"'

SERVICE = Dashboard(
    "onpoint-service",
    "OnPoint: service",
    (
        Row(
            "Records",
            (
                _panel(
                    "Records by topic and outcome",
                    (
                        f"service:onpoint_records_handled:rate5m{{{_OF_SERVICE}}}",
                        "{{service}} {{topic}} {{outcome}}",
                    ),
                    unit="ops",
                ),
                _panel(
                    "How long a record takes, 95 %",
                    (f"service:onpoint_record_handling_seconds:p95_5m{{{_OF_SERVICE}}} >= 0", "{{service}}"),
                    unit="s",
                ),
                _panel(
                    "Records in hand",
                    (f"sum by (service) (onpoint_records_in_flight{{{_OF_SERVICE}}})", "{{service}}"),
                ),
                _panel(
                    "Records that wait",
                    (f"service:onpoint_consumer_lag_records:sum{{{_OF_SERVICE}}}", "{{service}} {{topic}}"),
                ),
                _panel(
                    "Tries that failed",
                    (
                        f"sum by (service, kind) (rate(onpoint_record_retries_total{{{_OF_SERVICE}}}[5m]))",
                        "{{service}} {{kind}}",
                    ),
                    unit="ops",
                    only_under="an outage, or records that fail",
                ),
                _panel(
                    "Dead letters by reason",
                    (
                        f"sum by (service, reason) (rate(onpoint_dead_letters_total{{{_OF_SERVICE}}}[5m]))",
                        "{{service}} {{reason}}",
                    ),
                    unit="ops",
                    only_under="records that cannot be handled",
                ),
            ),
        ),
        Row(
            "Process",
            (
                _panel(
                    "CPU",
                    (
                        f"sum by (service) (rate(process_cpu_seconds_total{{{_OF_SERVICE}}}[5m]))",
                        "{{service}}",
                    ),
                    says="1 is one core.",
                ),
                _panel(
                    "Memory",
                    (f"sum by (service) (process_resident_memory_bytes{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="bytes",
                ),
                _panel(
                    "Memory of the limit",
                    (f"max by (service) (onpoint_memory_used_ratio{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="percentunit",
                ),
                _panel(
                    "Busy",
                    (
                        f"avg by (service) (rate(onpoint_busy_seconds_total{{{_OF_SERVICE}}}[5m]))",
                        "{{service}}",
                    ),
                    unit="percentunit",
                ),
                _panel(
                    "Event loop is late",
                    (f"max by (service) (onpoint_loop_lag_seconds{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="s",
                ),
                _panel(
                    "Free room to work in",
                    (f"min by (service) (onpoint_scratch_free_bytes{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="bytes",
                ),
            ),
        ),
        Row(
            "Kafka",
            (
                _panel(
                    "Rebalances",
                    (
                        f"sum by (service) (increase(onpoint_rebalances_total{{{_OF_SERVICE}}}[10m]))",
                        "{{service}}",
                    ),
                ),
                _panel(
                    "Partitions",
                    (f"sum by (service) (onpoint_partitions_assigned{{{_OF_SERVICE}}})", "{{service}}"),
                ),
                _panel(
                    "Partitions that wait for an outage to end",
                    (f"sum by (service) (onpoint_partitions_paused{{{_OF_SERVICE}}})", "{{service}}"),
                ),
                _panel(
                    "Circuit breaker",
                    (f"max by (service) (onpoint_brake_open{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="none",
                ),
            ),
        ),
    ),
    (Variable("service", "up"),),
)

KAFKA = Dashboard(
    "onpoint-kafka",
    "OnPoint: Kafka",
    (
        Row(
            "Brokers",
            (
                _stat("Partitions with too few copies", "max(onpoint_kafka_under_replicated_partitions)"),
                _stat("Partitions without a leader", "max(onpoint_kafka_leaderless_partitions)"),
                _stat("Age of these figures", "time() - max(onpoint_kafka_measured_timestamp_seconds)", "s"),
                _panel(
                    "Records that arrive",
                    ("max by (topic) (rate(onpoint_kafka_end_offsets[5m]))", "{{topic}}"),
                    unit="ops",
                ),
                _panel(
                    "Services that reach Kafka",
                    ("sum by (service) (onpoint_broker_reachable)", "{{service}}"),
                ),
                _panel(
                    "Certificates: time left",
                    ("min by (server) (onpoint_certificate_expiry_timestamp_seconds) - time()", "{{server}}"),
                    unit="s",
                    only_under="brokers with TLS",
                ),
            ),
        ),
        Row(
            "Groups",
            (
                _panel(
                    "Records behind",
                    ("service:onpoint_group_lag_records:max", "{{group}} {{topic}}"),
                    says="As the brokers have it: also of a service that does not answer.",
                ),
                _panel(
                    "Records that are committed",
                    (
                        "max by (group) (sum by (group, instance) (rate(onpoint_group_committed_offsets[5m])))",
                        "{{group}}",
                    ),
                    unit="ops",
                ),
                _panel(
                    "Standing still",
                    ("max by (group, topic) (onpoint_group_stalled_seconds)", "{{group}} {{topic}}"),
                    unit="s",
                ),
                _panel(
                    "Longest wait by topic",
                    ("max by (topic) (service:onpoint_consumer_lag_seconds:max)", "{{topic}}"),
                    unit="s",
                ),
            ),
        ),
    ),
)

POSTGRES = Dashboard(
    "onpoint-postgres",
    "OnPoint: PostgreSQL",
    (
        Row(
            "Connections",
            (
                _panel("Busy", ('sum by (service) (onpoint_pool_connections{state="busy"})', "{{service}}")),
                _panel("Idle", ('sum by (service) (onpoint_pool_connections{state="idle"})', "{{service}}")),
                _panel("Limit", ("sum by (service) (onpoint_pool_limit_connections > 0)", "{{service}}")),
            ),
        ),
        Row(
            "What it takes in",
            (
                _panel(
                    "Rows",
                    (
                        'sum by (dataset) (rate(onpoint_rows_total{stage="loader", outcome="loaded"}[5m]))',
                        "{{dataset}}",
                    ),
                    unit="rows",
                ),
                _panel(
                    "Results in the ledger",
                    (
                        "sum by (stage, outcome) (rate(onpoint_ledger_events_total[5m]))",
                        "{{stage}} {{outcome}}",
                    ),
                    unit="ops",
                ),
                _panel(
                    "Age of what the ledger told last",
                    ("time() - max(onpoint_state_measured_timestamp_seconds > 0)", "age"),
                    unit="s",
                ),
            ),
        ),
    ),
)

LAKE = Dashboard(
    "onpoint-lake",
    "OnPoint: lake",
    (
        Row(
            "Objects",
            (
                _panel(
                    "Batches stored",
                    ('sum by (dataset) (rate(onpoint_batches_total{stage="s3sink"}[5m]))', "{{dataset}}"),
                    unit="ops",
                ),
                _panel(
                    "Bytes stored",
                    (
                        'sum by (dataset) (rate(onpoint_bytes_total{stage="s3sink", direction="written"}[5m]))',
                        "{{dataset}}",
                    ),
                    unit="Bps",
                ),
                _panel(
                    "Objects to be written",
                    ('max(onpoint_lake_objects_waiting{service="s3sink"})', "objects"),
                ),
                _panel(
                    "Batches that wait for others",
                    ('sum(onpoint_lake_batches_waiting{service="s3sink"})', "batches"),
                ),
            ),
        ),
        Row(
            "Sweep",
            (
                _panel(
                    "Objects removed",
                    ("sum by (kind) (increase(onpoint_swept_objects_total[1h]))", "{{kind}}"),
                    only_under="a sweep that finds something",
                ),
                _panel(
                    "Bytes freed",
                    ("sum by (kind) (increase(onpoint_swept_bytes_total[1h]))", "{{kind}}"),
                    unit="bytes",
                    only_under="a sweep that finds something",
                ),
            ),
        ),
    ),
)

_OF_CAPTURE = 'service="s3sink-cdc"'

CAPTURE = Dashboard(
    "onpoint-cdc",
    "OnPoint: change capture",
    (
        Row(
            "Changes",
            (
                _panel(
                    "Rows",
                    ("sum by (table) (rate(onpoint_cdc_rows_total[5m]))", "{{table}}"),
                    unit="rows",
                    only_under=CDC,
                ),
                _panel(
                    "Objects",
                    ("sum by (table) (rate(onpoint_cdc_objects_total[5m]))", "{{table}}"),
                    unit="ops",
                    only_under=CDC,
                ),
                _panel(
                    "Not stored, as they change nothing",
                    ("sum by (table) (rate(onpoint_cdc_skipped_total[5m]))", "{{table}}"),
                    unit="rows",
                    only_under=CDC,
                ),
                _panel(
                    "Tables that stopped",
                    (f"max(onpoint_cdc_stopped_partitions{{{_OF_CAPTURE}}})", "tables"),
                    only_under=CDC,
                ),
            ),
        ),
        Row(
            "Replication slot",
            (
                _panel(
                    "WAL not confirmed",
                    (f"max(onpoint_cdc_slot_lag_bytes{{{_OF_CAPTURE}}})", "bytes"),
                    unit="bytes",
                    only_under=CDC,
                ),
                _panel(
                    "WAL kept",
                    (f"max(onpoint_cdc_slot_kept_bytes{{{_OF_CAPTURE}}})", "kept"),
                    (f"max(onpoint_cdc_slot_limit_bytes{{{_OF_CAPTURE}}})", "limit"),
                    unit="bytes",
                    only_under=CDC,
                ),
                _panel(
                    "Read by the connector",
                    (f"max(onpoint_cdc_slot_active{{{_OF_CAPTURE}}})", "read"),
                    unit="none",
                    only_under=CDC,
                ),
            ),
        ),
    ),
)

DASHBOARDS = (OVERVIEW, RUN, SERVICE, KAFKA, POSTGRES, LAKE, CAPTURE)
