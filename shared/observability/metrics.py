"""Every metric of the services. Labels are bounded (`shared.observability.labels`); ids are none, except runs that go on."""

from shared.observability.registry import REGISTRY, Section

__all__ = ["REGISTRY"]

_BUS = Section("Records", "every service")

RECORDS_HANDLED = _BUS.counter(
    "onpoint_records_handled_total",
    "Records whose offset was committed. outcome: done, retried (later), dead (to the dead letters).",
    unit="records",
    labels=("topic", "outcome"),
    remedy="A rate of 0 with lag above 0: look at `/readyz` and the log of the service.",
)
RECORD_RETRIES = _BUS.counter(
    "onpoint_record_retries_total",
    "Tries that failed and come again. kind: outage (of Kafka, PostgreSQL or S3; without end) or error (bounded).",
    unit="records",
    labels=("topic", "kind"),
    remedy="error: the log has `record_failed` with the traceback. outage: see `onpoint_partitions_paused`.",
)
DEAD_LETTERS = _BUS.counter(
    "onpoint_dead_letters_total",
    "Records that were written to the service's dead-letter topic, by the reason.",
    unit="records",
    labels=("topic", "reason"),
    remedy="`onpoint dlq list` shows them; mend the cause, then `onpoint dlq replay`.",
)
RECORD_SECONDS = _BUS.histogram(
    "onpoint_record_handling_seconds",
    "From the record's fetch to the commit of its offset.",
    labels=("topic",),
    remedy="Above its usual value: compare `onpoint_batch_cpu_seconds_total`, the pool, and the source's time to answer.",
)
RECORDS_IN_FLIGHT = _BUS.gauge(
    "onpoint_records_in_flight",
    "Records that are in hand at this moment.",
    unit="records",
)
CONSUMER_LAG_RECORDS = _BUS.gauge(
    "onpoint_consumer_lag_records",
    "Offsets between the group's committed one and the end of the partition; 0 where only markers of transactions are left.",
    unit="records",
    labels=("topic", "partition"),
    remedy="See `onpoint_consumer_lag_seconds`.",
)
CONSUMER_LAG_SECONDS = _BUS.gauge(
    "onpoint_consumer_lag_seconds",
    "Age of the oldest record of the partition that the group has not committed, by the record's timestamp; 0 when there "
    "is none.",
    unit="seconds",
    labels=("topic", "partition"),
    remedy="Growing: start more replicas, up to the number of partitions. Growing on one partition only: look at `/readyz`.",
)
CONSUMER_LAG_MEASURED = _BUS.gauge(
    "onpoint_consumer_lag_measured_timestamp_seconds",
    "When the lag was measured last, as a Unix time. While the broker is away the lag keeps its last value.",
    unit="seconds",
    remedy="Older than a minute: the broker does not answer; see `onpoint_broker_reachable`.",
)
PARTITIONS_ASSIGNED = _BUS.gauge(
    "onpoint_partitions_assigned",
    "Partitions that this process reads.",
    unit="count",
    remedy="0 on a replica: there are more replicas than partitions.",
)
PARTITIONS_PAUSED = _BUS.gauge(
    "onpoint_partitions_paused",
    "Partitions that wait because Kafka, PostgreSQL or S3 is down.",
    unit="count",
    remedy="`/readyz` names each with its error; they go on by themselves once that is over.",
)
REBALANCES = _BUS.counter(
    "onpoint_rebalances_total",
    "Assignments of partitions to this process, by the group's rebalances.",
    unit="count",
    remedy="More than 6 in 10 minutes: a member comes and goes, or misses its heartbeats (`onpoint_loop_lag_seconds`).",
)
REBALANCE_SECONDS = _BUS.histogram(
    "onpoint_rebalance_drain_seconds",
    "How long a rebalance waited for the records in hand of this process.",
    remedy="As long as a batch takes. Longer: see `onpoint_record_handling_seconds`.",
)
OFFSET_RESETS = _BUS.counter(
    "onpoint_offset_resets_total",
    "Times that a partition's next record was gone: records were skipped.",
    unit="count",
    labels=("topic",),
    remedy="The log has `records_skipped` with the offsets; their runs do not end by themselves. Raise the retention.",
)
BRAKE_OPEN = _BUS.gauge(
    "onpoint_brake_open",
    "1 while the service stands still because nearly every record fails.",
    unit="count",
    remedy="Mend the cause, which `/readyz` names, then resume the service.",
)
BRAKE_OPENED = _BUS.counter(
    "onpoint_brake_opened_total",
    "Times that the circuit breaker opened.",
    unit="count",
    remedy="As `onpoint_brake_open`.",
)
BROKER_REACHABLE = _BUS.gauge(
    "onpoint_broker_reachable",
    "1 while the broker answers.",
    unit="count",
    remedy="Look at Kafka; the services go on by themselves.",
)
KAFKA_DENIALS = _BUS.counter(
    "onpoint_kafka_denials_total",
    "Refusals of the broker to let this service read or write: an ACL is missing.",
    unit="count",
    remedy="`/readyz` and the log name the right that is missing.",
)

_PROCESS = Section("Process", "every service")

BUSY_SECONDS = _PROCESS.counter(
    "onpoint_busy_seconds_total",
    "Seconds in which at least one piece of work was in hand. Its rate is the share of time that is not waiting.",
    unit="seconds",
    remedy="Near 1 for long with lag: start more replicas.",
)
LOOP_LAG_SECONDS = _PROCESS.gauge(
    "onpoint_loop_lag_seconds",
    "How late the event loop woke up at worst in the last 30 seconds.",
    unit="seconds",
    remedy="Above 1: something blocks the loop or the machine has too little CPU; heartbeats are missed from 10 on.",
)
CPU_LIMIT = _PROCESS.gauge(
    "onpoint_cpu_limit_cores",
    "Cores that the process may use, by its cgroup or else by the machine.",
    unit="cores",
    remedy="`rate(process_cpu_seconds_total[5m])` near it: give the container more, or start more replicas.",
)
MEMORY_USED_RATIO = _PROCESS.gauge(
    "onpoint_memory_used_ratio",
    "Memory in use, as a share of the cgroup's limit or of the machine.",
    unit="ratio",
    remedy="Above 0.8 nothing new is begun: give the container more memory, or make batches smaller.",
)
MEMORY_LIMIT_BYTES = _PROCESS.gauge(
    "onpoint_memory_limit_bytes",
    "Memory that the process may use, by its cgroup or else by the machine.",
    unit="bytes",
)
SCRATCH_FREE_BYTES = _PROCESS.gauge(
    "onpoint_scratch_free_bytes",
    "Free space of the disk where batches are worked on (the folder for temporary files).",
    unit="bytes",
    remedy="A batch takes a few hundred megabytes. Give the volume more room.",
)
SCRATCH_BYTES = _PROCESS.gauge(
    "onpoint_scratch_bytes",
    "Size of the disk where batches are worked on.",
    unit="bytes",
)

_DATABASE = Section("PostgreSQL", "loader, s3sink, s3sink-cdc, quality")

POOL_CONNECTIONS = _DATABASE.gauge(
    "onpoint_pool_connections",
    "Connections of the process's pool. state: busy, idle.",
    unit="connections",
    labels=("state",),
    remedy="busy at the limit for minutes: work waits for connections. Raise ONPOINT_POSTGRES_POOL_SIZE, or look for locks.",
)
POOL_LIMIT = _DATABASE.gauge(
    "onpoint_pool_limit_connections",
    "The most connections that the pool opens.",
    unit="connections",
)

_BATCHES = Section("Batches and rows", "the stages: crawler, processor, converter, loader, s3sink")

STAGE_ROWS = _BATCHES.counter(
    "onpoint_rows_total",
    "Rows by what a stage decided. outcome: read, accepted, rejected, deduplicated, filtered, added, loaded, superseded.",
    unit="rows",
    labels=("stage", "dataset", "outcome"),
)
ROWS_REJECTED = _BATCHES.counter(
    "onpoint_rows_rejected_total",
    "Rows that a stage put into quarantine, by the reason of their refusal.",
    unit="rows",
    labels=("stage", "dataset", "reason"),
    remedy="`onpoint quarantine RUN` shows them as they came.",
)
STAGE_BYTES = _BATCHES.counter(
    "onpoint_bytes_total",
    "Bytes of files that a stage read and wrote for its batches, as they are stored.",
    unit="bytes",
    labels=("stage", "dataset", "direction"),
)
STAGE_BATCHES = _BATCHES.counter(
    "onpoint_batches_total",
    "Batches by result: done, dead.",
    unit="batches",
    labels=("stage", "dataset", "status"),
    remedy="dead: `onpoint dlq list` shows why.",
)
BATCH_FAILURES = _BATCHES.counter(
    "onpoint_batch_failures_total",
    "Batches that are dead at a stage, by the reason.",
    unit="batches",
    labels=("stage", "reason"),
    remedy="`onpoint dlq list` shows why; `cancelled` needs nothing.",
)
BATCH_CPU_SECONDS = _BATCHES.counter(
    "onpoint_batch_cpu_seconds_total",
    "CPU time of the process while batches were in hand, shared equally among those in hand. Processes of transforms and "
    "of a Dask cluster are not in it.",
    unit="seconds",
    labels=("stage", "dataset"),
)
FIELDS_IGNORED = _BATCHES.counter(
    "onpoint_fields_ignored_total",
    "Values of source fields that the dataset file does not name.",
    unit="count",
    labels=("dataset",),
    remedy="Name the field in the dataset file where it is wanted.",
)
COLUMNS_VERSIONS = _BATCHES.counter(
    "onpoint_columns_versions_total",
    "Versions of a dataset's columns that its records made necessary.",
    unit="count",
    labels=("dataset",),
    remedy="The source has changed: look whether its new columns are wanted.",
)
EXPORTS_FAILED = _BATCHES.counter(
    "onpoint_exports_failed_total",
    "Export files that could not be written while the batch's other formats could.",
    unit="files",
    labels=("dataset", "format"),
    remedy="The manifest of the batch has the reason, and so has the log of the converter.",
)
COMBINATIONS = _BATCHES.counter(
    "onpoint_exports_combined_total",
    "Datasets of ended runs whose exports were combined into few files.",
    unit="count",
    labels=("dataset", "format", "result"),
    remedy="failed: `onpoint status RUN` has the reason, `onpoint exports combine RUN` tries again.",
)
LAKE_OBJECTS_WAITING = _BATCHES.gauge(
    "onpoint_lake_objects_waiting",
    "Objects of the lake that are assigned and not yet written and published, of all replicas (s3sink).",
    unit="files",
    remedy="Growing: start more replicas of s3sink.",
)
LAKE_BATCHES_WAITING = _BATCHES.gauge(
    "onpoint_lake_batches_waiting",
    "Batches that wait for enough others, or for their age, to become an object of the lake (s3sink).",
    unit="batches",
)

_SOURCES = Section("Sources", "crawler")

SOURCE_REQUESTS = _SOURCES.counter(
    "onpoint_source_requests_total",
    "Requests to sources. outcome: ok, timeout, connection, tls, server_error, client_error, not_ready, redirect, "
    "encoding, body, too_large, forbidden (an address that may not be crawled).",
    unit="requests",
    labels=("source", "outcome"),
    remedy="forbidden: a source leads to a private address; see docs/security.md. Others: the source is at fault.",
)
SOURCE_SECONDS = _SOURCES.histogram(
    "onpoint_source_request_seconds",
    "From a request's turn to its whole answer, or to its failure.",
    labels=("source",),
    buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    remedy="The source answers slowly: its runs take longer.",
)
SOURCE_BYTES = _SOURCES.counter(
    "onpoint_source_received_bytes_total",
    "Bytes of answers, decompressed.",
    unit="bytes",
    labels=("source",),
)
SOURCE_WAIT_SECONDS = _SOURCES.counter(
    "onpoint_source_wait_seconds_total",
    "Seconds that requests waited for their turn: for the rate, the concurrency, and pauses that the source asked for.",
    unit="seconds",
    labels=("source",),
    remedy="Its rate is the number of requests that wait: the budget is what limits the crawl.",
)
SOURCE_IN_FLIGHT = _SOURCES.gauge(
    "onpoint_source_requests_in_flight",
    "Requests that a source has not answered yet.",
    unit="requests",
    labels=("source",),
)
SOURCE_CONCURRENCY_LIMIT = _SOURCES.gauge(
    "onpoint_source_concurrency_limit_requests",
    "The budget: requests to the source at the same time, per process.",
    unit="requests",
    labels=("source",),
)
SOURCE_RATE_LIMIT = _SOURCES.gauge(
    "onpoint_source_rate_limit_requests_per_second",
    "The budget: requests to the source per second and process; 0: no limit.",
    unit="requests",
    labels=("source",),
)
SOURCE_PAUSED_SECONDS = _SOURCES.counter(
    "onpoint_source_paused_seconds_total",
    "Seconds for which a source asked to be left alone (`Retry-After`).",
    unit="seconds",
    labels=("source",),
    remedy="The budget is above what the source allows: lower `limits` in the dataset file.",
)

_LEDGER = Section("Ledger", "quality")

LEDGER_EVENTS = _LEDGER.counter(
    "onpoint_ledger_events_total",
    "Results that reached the run ledger. outcome: recorded, duplicate (it was there before).",
    unit="records",
    labels=("stage", "outcome"),
)
RUNS_COMPLETED = _LEDGER.counter(
    "onpoint_runs_completed_total",
    "Runs by how they ended.",
    unit="count",
    labels=("status",),
    remedy="`onpoint status RUN` has the reason.",
)
RUN_SECONDS = _LEDGER.histogram(
    "onpoint_run_seconds",
    "From the append of a run's request to its verdict.",
    buckets=(1, 3, 10, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600),
)
CHECKS_FAILED = _LEDGER.counter(
    "onpoint_checks_failed_total",
    "Data checks that did not pass when their run completed.",
    unit="count",
    labels=("dataset", "severity"),
    remedy="`onpoint status RUN` has what was found and what was expected.",
)
RUNS_UNBALANCED = _LEDGER.counter(
    "onpoint_runs_unbalanced_total",
    "Runs that failed because the rows of a stage are not those of the stage before.",
    unit="count",
    remedy="Rows were lost or counted twice: `onpoint verify` tells where. This is a fault of the pipeline.",
)

_STATE = Section(
    "State of the pipeline", "quality, each replica the same, from the ledger: a restart loses nothing"
)

OPEN_RUNS = _STATE.gauge("onpoint_open_runs", "Runs that go on.", unit="count")
OLDEST_OPEN_RUN_SECONDS = _STATE.gauge(
    "onpoint_oldest_open_run_age_seconds",
    "Age of the run that goes on for the longest, since its request; 0 when there is none.",
    unit="seconds",
    remedy="`onpoint status RUN` shows which stage it waits for.",
)
OLDEST_BATCH_SECONDS = _STATE.gauge(
    "onpoint_oldest_unfinished_batch_age_seconds",
    "Age of the oldest batch without a result of the stage though the stage before has one, of runs that go on; 0 when "
    "there is none. Since the result of the stage before was recorded.",
    unit="seconds",
    labels=("stage",),
    remedy="Growing while the stage's lag is 0: its event was lost or skipped; `onpoint verify` names it.",
)
RUN_SUCCESS_RATIO = _STATE.gauge(
    "onpoint_run_success_ratio",
    "Of the runs that ended in the last 24 hours, cancelled ones left out, the share that succeeded; 1 when none ended.",
    unit="ratio",
    remedy="`onpoint runs` lists those that failed or are partial.",
)
ROW_SUCCESS_RATIO = _STATE.gauge(
    "onpoint_row_success_ratio",
    "Of the rows that runs which ended in the last 24 hours have crawled, the share that was not rejected; 1 when there is "
    "none.",
    unit="ratio",
    remedy="`onpoint_rows_rejected_total` has the reasons.",
)
STATE_MEASURED = _STATE.gauge(
    "onpoint_state_measured_timestamp_seconds",
    "When the figures of this section and of the next were read from the ledger last, as a Unix time.",
    unit="seconds",
    remedy="Older than a minute: PostgreSQL does not answer, or the reading fails; the log of quality has `state_unknown`.",
)

_RUNS = Section(
    "Runs that go on",
    "quality, each replica the same, from the ledger. Of the newest 50 runs, and of 50 datasets of runs at most: those of "
    "the newest runs first. A run's series end with the run",
)

RUN_ROWS_PROMISED = _RUNS.gauge(
    "onpoint_run_promised_rows",
    "Rows that the source promised for the dataset; absent while it has promised no number.",
    unit="rows",
    labels=("run", "dataset"),
)
RUN_ROWS = _RUNS.gauge(
    "onpoint_run_rows",
    "Rows that a stage is done with: crawled, processed, converted, loaded, stored.",
    unit="rows",
    labels=("run", "dataset", "stage"),
)
RUN_ROWS_TO_GO = _RUNS.gauge(
    "onpoint_run_rows_to_go",
    "Rows that a stage has still to do; estimated by the rows per batch so far where the source promised no number. "
    "Absent while nothing is known.",
    unit="rows",
    labels=("run", "dataset", "stage"),
)
RUN_STAGE_SECONDS = _RUNS.gauge(
    "onpoint_run_stage_seconds",
    "From the stage's first result for the dataset to its last one so far.",
    unit="seconds",
    labels=("run", "dataset", "stage"),
)
RUN_ROWS_PER_SECOND = _RUNS.gauge(
    "onpoint_run_rows_per_second",
    "Rows that a stage does in a second, by its latest results.",
    unit="rows",
    labels=("run", "dataset", "stage"),
)
RUN_STAGE_ETA_SECONDS = _RUNS.gauge(
    "onpoint_run_stage_eta_seconds",
    "Seconds until the stage is through with the dataset, at its rate; 0 when it is. Absent while it cannot be told.",
    unit="seconds",
    labels=("run", "dataset", "stage"),
)
RUN_ETA_SECONDS = _RUNS.gauge(
    "onpoint_run_eta_seconds",
    "Seconds until the last stage of the run's last dataset is through. Absent while it cannot be told.",
    unit="seconds",
    labels=("run",),
)
RUN_DATASETS_HIDDEN = _RUNS.gauge(
    "onpoint_run_datasets_hidden",
    "Datasets of runs that go on which are not shown here, as there are too many.",
    unit="count",
    remedy="`onpoint status RUN` shows them.",
)

_KAFKA = Section(
    "Kafka",
    "quality, each replica the same, asked of the brokers every ONPOINT_KAFKA_WATCH_INTERVAL_S seconds. "
    "Also of services that do not answer",
)

KAFKA_UNDER_REPLICATED = _KAFKA.gauge(
    "onpoint_kafka_under_replicated_partitions",
    "Partitions of the pipeline's topics with fewer copies in sync than they are to have.",
    unit="count",
    remedy="A broker is away or slow: look at the brokers.",
)
KAFKA_LEADERLESS = _KAFKA.gauge(
    "onpoint_kafka_leaderless_partitions",
    "Partitions of the pipeline's topics that no broker leads: they can neither be read nor written.",
    unit="count",
    remedy="Their brokers are away: start them.",
)
KAFKA_END_OFFSETS = _KAFKA.gauge(
    "onpoint_kafka_end_offsets",
    "Offset of the next record, added up over the topic's partitions: its rate is that of records which arrive.",
    unit="records",
    labels=("topic",),
)
GROUP_COMMITTED_OFFSETS = _KAFKA.gauge(
    "onpoint_group_committed_offsets",
    "Offsets that the group has committed, added up over the topic's partitions.",
    unit="records",
    labels=("group", "topic"),
)
GROUP_LAG_RECORDS = _KAFKA.gauge(
    "onpoint_group_lag_records",
    "Records of the topic behind the offsets that the group has committed.",
    unit="records",
    labels=("group", "topic"),
    remedy="Growing: start more replicas of the service, up to the number of partitions.",
)
GROUP_STALLED_SECONDS = _KAFKA.gauge(
    "onpoint_group_stalled_seconds",
    "For how long records have come to a partition of the topic while the group commits none of it; "
    "of the partition where it is longest.",
    unit="seconds",
    labels=("group", "topic"),
    remedy="A batch in hand takes minutes at most: look at `/readyz` and the log of the service; restart it.",
)
KAFKA_MEASURED = _KAFKA.gauge(
    "onpoint_kafka_measured_timestamp_seconds",
    "When the figures of this section were asked for last, as a Unix time.",
    unit="seconds",
    remedy="Older than a minute: the brokers do not answer, or quality may not describe groups and topics.",
)
CERTIFICATE_EXPIRY = _KAFKA.gauge(
    "onpoint_certificate_expiry_timestamp_seconds",
    "When the certificate that a broker shows, or the client's own one, ends, as a Unix time. Only with TLS.",
    unit="seconds",
    labels=("server",),
    remedy="Renew it: docs/runbooks.md tells how.",
)

_CLOUDWATCH = Section("CloudWatch", "quality, where ONPOINT_CLOUDWATCH_INTERVAL_S is above 0")

CLOUDWATCH_FIGURES = _CLOUDWATCH.counter(
    "onpoint_cloudwatch_figures_total",
    "Figures for CloudWatch. outcome: sent, dropped (as it took none for too long, or refused them).",
    unit="count",
    labels=("outcome",),
    remedy="dropped: the log of quality has `cloudwatch_waits` or `cloudwatch_refuses` with the reason.",
)

_SWEEP = Section("Sweep", "quality")

OBJECTS_SWEPT = _SWEEP.counter(
    "onpoint_swept_objects_total",
    "Objects that the sweep removed. kind: artifacts, losers, uploads, lake_objects, exports.",
    unit="files",
    labels=("kind",),
    remedy="lake_objects: objects that no result names; some after a crash, many are a fault.",
)
BYTES_SWEPT = _SWEEP.counter(
    "onpoint_swept_bytes_total",
    "Bytes that the sweep freed, by the kind of object.",
    unit="bytes",
    labels=("kind",),
)

_CDC = Section("Change capture", "s3sink-cdc")

CDC_OBJECTS = _CDC.counter(
    "onpoint_cdc_objects_total", "Objects of change capture in the lake.", unit="files", labels=("table",)
)
CDC_ROWS = _CDC.counter(
    "onpoint_cdc_rows_total", "Changes of rows in the lake.", unit="rows", labels=("table",)
)
CDC_SKIPPED = _CDC.counter(
    "onpoint_cdc_skipped_total",
    "Changes that were not stored, as they change nothing or only where a row came from.",
    unit="rows",
    labels=("table",),
)
CDC_SLOT_LAG_BYTES = _CDC.gauge(
    "onpoint_cdc_slot_lag_bytes",
    "WAL that change capture has not confirmed yet.",
    unit="bytes",
    remedy="Near `max_slot_wal_keep_size` changes are lost: start Kafka Connect, or see `onpoint cdc status`.",
)
CDC_SLOT_LAG_SECONDS = _CDC.gauge(
    "onpoint_cdc_slot_lag_seconds",
    "For how long there has been WAL that change capture has not confirmed; 0: it has everything.",
    unit="seconds",
    remedy="Growing while the slot is inactive: start Kafka Connect; `onpoint cdc status` tells which side waits.",
)
CDC_SLOT_KEPT_BYTES = _CDC.gauge(
    "onpoint_cdc_slot_kept_bytes", "WAL that PostgreSQL keeps for change capture.", unit="bytes"
)
CDC_SLOT_LIMIT_BYTES = _CDC.gauge(
    "onpoint_cdc_slot_limit_bytes",
    "WAL that PostgreSQL keeps for a slot at most (max_slot_wal_keep_size): beyond it the slot is lost. +Inf: no limit.",
    unit="bytes",
)
CDC_SLOT_ACTIVE = _CDC.gauge(
    "onpoint_cdc_slot_active",
    "1 while the connector reads the replication slot.",
    unit="count",
    remedy="0 for minutes: `onpoint cdc restart`, and look at the connector's log.",
)
CDC_CAPTURE_LAG_SECONDS = _CDC.gauge(
    "onpoint_cdc_capture_lag_seconds",
    "Age of the oldest change that is not in the lake yet, from PostgreSQL over Kafka to the object.",
    unit="seconds",
    remedy="Up to 90 s at rest is usual: objects close after 60 s. Beyond it `onpoint cdc status` tells what waits.",
)
CDC_LOADED_ROWS = _CDC.gauge(
    "onpoint_cdc_snapshot_rows",
    "Rows of the table's latest full load that are in the lake.",
    unit="rows",
    labels=("table",),
)
CDC_EXPECTED_ROWS = _CDC.gauge(
    "onpoint_cdc_snapshot_rows_expected",
    "Rows of the table as PostgreSQL estimated them when its latest full load began.",
    unit="rows",
    labels=("table",),
)
CDC_SLOT_LOST = _CDC.gauge(
    "onpoint_cdc_slot_lost",
    "1 while the replication slot is gone or its WAL is: changes are lost.",
    unit="count",
    remedy="`onpoint cdc resnapshot --all` begins anew.",
)
CDC_STOPPED = _CDC.gauge(
    "onpoint_cdc_stopped_partitions",
    "Topics of tables that stopped at a gap.",
    unit="count",
    remedy="`/readyz` names them and what to do.",
)

_MACHINE = Section("Machine", "every service, as of the moment that it is asked")

MACHINE_CPU_RATIO = _MACHINE.gauge(
    "onpoint_machine_cpu_ratio",
    "CPU in use on the process's machine, of all its cores, since it was asked before.",
    unit="ratio",
    remedy="Near 1 for long: the machine is too small for what runs on it.",
)
WORK_IN_HAND = _MACHINE.gauge(
    "onpoint_work_in_hand",
    "Pieces of work that the process has in hand: records, batches, requests.",
    unit="count",
)

_HEALTH = Section("Health and news", "quality")

HEALTH_STATUS = _HEALTH.gauge(
    "onpoint_health_status",
    "State of each health check: 0 healthy, 1 warning, 2 stale or no data, 3 failed.",
    unit="count",
    labels=("check",),
    remedy="`onpoint health` tells what it is, and since when.",
)
RUN_OVERDUE = _HEALTH.gauge(
    "onpoint_run_overdue",
    "1 while a run of the dataset is overdue by the `expect` of its file.",
    unit="count",
    labels=("dataset",),
    remedy="Look whether whoever asks for the runs is up; `onpoint runs` shows the last ones.",
)
NEWS_SENT = _HEALTH.counter(
    "onpoint_news_sent_total", "News that a channel took.", unit="count", labels=("channel",)
)
NEWS_PENDING = _HEALTH.gauge(
    "onpoint_news_pending",
    "News that wait to be sent, or to be tried again.",
    unit="count",
    labels=("channel",),
    remedy="More for minutes: the channel is away; `onpoint news list` has its answer.",
)
NEWS_FAILED = _HEALTH.gauge(
    "onpoint_news_failed",
    "News that were given up.",
    unit="count",
    labels=("channel",),
    remedy="`onpoint news list --state failed` tells why, `onpoint news retry` tries again.",
)
