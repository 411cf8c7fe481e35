"""One service: its records, its process, its place in Kafka."""

from deploy.observe.dashboards.boards.parts import panel
from deploy.observe.dashboards.model import Dashboard, Row, Variable

_OF_SERVICE = 'service=~"$service"'

SERVICE = Dashboard(
    "onpoint-service",
    "OnPoint: service",
    (
        Row(
            "Records",
            (
                panel(
                    "Records by topic and outcome",
                    (
                        f"service:onpoint_records_handled:rate5m{{{_OF_SERVICE}}}",
                        "{{service}} {{topic}} {{outcome}}",
                    ),
                    unit="ops",
                ),
                panel(
                    "How long a record takes, 95 %",
                    (f"service:onpoint_record_handling_seconds:p95_5m{{{_OF_SERVICE}}} >= 0", "{{service}}"),
                    unit="s",
                ),
                panel(
                    "Records in hand",
                    (f"sum by (service) (onpoint_records_in_flight{{{_OF_SERVICE}}})", "{{service}}"),
                ),
                panel(
                    "Records that wait",
                    (f"service:onpoint_consumer_lag_records:sum{{{_OF_SERVICE}}}", "{{service}} {{topic}}"),
                ),
                panel(
                    "Tries that failed",
                    (
                        f"sum by (service, kind) (rate(onpoint_record_retries_total{{{_OF_SERVICE}}}[5m]))",
                        "{{service}} {{kind}}",
                    ),
                    unit="ops",
                    only_under="an outage, or records that fail",
                ),
                panel(
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
                panel(
                    "CPU",
                    (
                        f"sum by (service) (rate(process_cpu_seconds_total{{{_OF_SERVICE}}}[5m]))",
                        "{{service}}",
                    ),
                    says="1 is one core.",
                ),
                panel(
                    "Memory",
                    (f"sum by (service) (process_resident_memory_bytes{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="bytes",
                ),
                panel(
                    "Memory of the limit",
                    (f"max by (service) (onpoint_memory_used_ratio{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="percentunit",
                ),
                panel(
                    "Busy",
                    (
                        f"avg by (service) (rate(onpoint_busy_seconds_total{{{_OF_SERVICE}}}[5m]))",
                        "{{service}}",
                    ),
                    unit="percentunit",
                ),
                panel(
                    "Event loop is late",
                    (f"max by (service) (onpoint_loop_lag_seconds{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="s",
                ),
                panel(
                    "Free room to work in",
                    (f"min by (service) (onpoint_scratch_free_bytes{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="bytes",
                ),
            ),
        ),
        Row(
            "Kafka",
            (
                panel(
                    "Rebalances",
                    (
                        f"sum by (service) (increase(onpoint_rebalances_total{{{_OF_SERVICE}}}[10m]))",
                        "{{service}}",
                    ),
                ),
                panel(
                    "Partitions",
                    (f"sum by (service) (onpoint_partitions_assigned{{{_OF_SERVICE}}})", "{{service}}"),
                ),
                panel(
                    "Partitions that wait for an outage to end",
                    (f"sum by (service) (onpoint_partitions_paused{{{_OF_SERVICE}}})", "{{service}}"),
                ),
                panel(
                    "Circuit breaker",
                    (f"max by (service) (onpoint_brake_open{{{_OF_SERVICE}}})", "{{service}}"),
                    unit="none",
                ),
            ),
        ),
    ),
    (Variable("service", "up"),),
)
