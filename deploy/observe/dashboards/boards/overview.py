"""What to look at first: services, work, faults."""

from deploy.observe.dashboards.boards.parts import panel, stat
from deploy.observe.dashboards.model import Dashboard, Row

OVERVIEW = Dashboard(
    "onpoint-overview",
    "OnPoint: overview",
    (
        Row(
            "Now",
            (
                stat("Services that answer", 'sum(up{job="onpoint"})'),
                stat("Runs that go on", "max(onpoint_open_runs)"),
                stat("Runs that succeeded, last 24 h", "min(onpoint_run_success_ratio > 0)", "percentunit"),
                stat("Longest wait of a record", "max(service:onpoint_consumer_lag_seconds:max)", "s"),
                stat(
                    "Pages",
                    'count(ALERTS{alertstate="firing", severity="page"})',
                    only_under="an alert that pages",
                ),
                stat(
                    "Tickets",
                    'count(ALERTS{alertstate="firing", severity="ticket"})',
                    only_under="an alert that is a ticket",
                ),
            ),
        ),
        Row(
            "Work",
            (
                panel(
                    "Rows by stage", ("sum by (stage) (stage:onpoint_rows:rate5m)", "{{stage}}"), unit="rows"
                ),
                panel(
                    "Rows that were refused",
                    (
                        "sum by (stage, reason) (rate(onpoint_rows_rejected_total[5m]))",
                        "{{stage}} {{reason}}",
                    ),
                    unit="rows",
                    only_under="rows that are refused",
                ),
                panel(
                    "Records by service",
                    ("sum by (service) (service:onpoint_records_handled:rate5m)", "{{service}}"),
                    unit="ops",
                ),
                panel(
                    "Records that wait",
                    ("sum by (service) (service:onpoint_consumer_lag_records:sum)", "{{service}}"),
                ),
                panel(
                    "Longest wait of a record",
                    ("max by (service) (service:onpoint_consumer_lag_seconds:max)", "{{service}}"),
                    unit="s",
                ),
                panel(
                    "Runs that ended",
                    ("sum by (status) (increase(onpoint_runs_completed_total[1h]))", "{{status}}"),
                ),
            ),
        ),
        Row(
            "Faults",
            (
                panel(
                    "Dead letters in 10 minutes",
                    ("service:onpoint_dead_letters:increase10m", "{{service}}"),
                    only_under="records that cannot be handled",
                ),
                panel(
                    "Budgets: how fast they burn",
                    ("slo:onpoint_bad:ratio1h / on (slo) group_left () slo:onpoint_budget:ratio", "{{slo}}"),
                    says="1 spends the budget of 30 days in 30 days; 14.4 in two.",
                ),
                panel(
                    "Health checks",
                    ("max by (check) (onpoint_health_status)", "{{check}}"),
                    unit="none",
                    says="0 healthy, 1 warning, 2 stale or without data, 3 failed.",
                    only_under="the health checks of quality",
                ),
            ),
        ),
    ),
)
