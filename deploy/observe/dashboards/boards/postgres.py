"""Connections, and what goes into the tables and the ledger."""

from deploy.observe.dashboards.boards.parts import panel
from deploy.observe.dashboards.model import Dashboard, Row

POSTGRES = Dashboard(
    "onpoint-postgres",
    "OnPoint: PostgreSQL",
    (
        Row(
            "Connections",
            (
                panel("Busy", ('sum by (service) (onpoint_pool_connections{state="busy"})', "{{service}}")),
                panel("Idle", ('sum by (service) (onpoint_pool_connections{state="idle"})', "{{service}}")),
                panel("Limit", ("sum by (service) (onpoint_pool_limit_connections > 0)", "{{service}}")),
            ),
        ),
        Row(
            "What it takes in",
            (
                panel(
                    "Rows",
                    (
                        'sum by (dataset) (rate(onpoint_rows_total{stage="loader", outcome="loaded"}[5m]))',
                        "{{dataset}}",
                    ),
                    unit="rows",
                ),
                panel(
                    "Results in the ledger",
                    (
                        "sum by (stage, outcome) (rate(onpoint_ledger_events_total[5m]))",
                        "{{stage}} {{outcome}}",
                    ),
                    unit="ops",
                ),
                panel(
                    "Age of what the ledger told last",
                    ("time() - max(onpoint_state_measured_timestamp_seconds > 0)", "age"),
                    unit="s",
                ),
            ),
        ),
    ),
)
