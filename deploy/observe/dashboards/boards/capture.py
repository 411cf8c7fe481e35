"""Change capture: rows, objects, the replication slot."""

from deploy.observe.dashboards.boards.parts import panel
from deploy.observe.dashboards.model import Dashboard, Row

CDC = "`onpoint up --cdc` and registered tables"

_OF_CAPTURE = 'service="s3sink-cdc"'

CAPTURE = Dashboard(
    "onpoint-cdc",
    "OnPoint: change capture",
    (
        Row(
            "Changes",
            (
                panel(
                    "Rows",
                    ("sum by (table) (rate(onpoint_cdc_rows_total[5m]))", "{{table}}"),
                    unit="rows",
                    only_under=CDC,
                ),
                panel(
                    "Objects",
                    ("sum by (table) (rate(onpoint_cdc_objects_total[5m]))", "{{table}}"),
                    unit="ops",
                    only_under=CDC,
                ),
                panel(
                    "Not stored, as they change nothing",
                    ("sum by (table) (rate(onpoint_cdc_skipped_total[5m]))", "{{table}}"),
                    unit="rows",
                    only_under=CDC,
                ),
                panel(
                    "Tables that stopped",
                    (f"max(onpoint_cdc_stopped_partitions{{{_OF_CAPTURE}}})", "tables"),
                    only_under=CDC,
                ),
            ),
        ),
        Row(
            "Replication slot",
            (
                panel(
                    "WAL not confirmed",
                    (f"max(onpoint_cdc_slot_lag_bytes{{{_OF_CAPTURE}}})", "bytes"),
                    unit="bytes",
                    only_under=CDC,
                ),
                panel(
                    "WAL kept",
                    (f"max(onpoint_cdc_slot_kept_bytes{{{_OF_CAPTURE}}})", "kept"),
                    (f"max(onpoint_cdc_slot_limit_bytes{{{_OF_CAPTURE}}})", "limit"),
                    unit="bytes",
                    only_under=CDC,
                ),
                panel(
                    "Read by the connector",
                    (f"max(onpoint_cdc_slot_active{{{_OF_CAPTURE}}})", "read"),
                    unit="none",
                    only_under=CDC,
                ),
            ),
        ),
    ),
)
