"""Objects of the lake, and what the sweep removed."""

from deploy.observe.dashboards.boards.parts import panel
from deploy.observe.dashboards.model import Dashboard, Row

LAKE = Dashboard(
    "onpoint-lake",
    "OnPoint: lake",
    (
        Row(
            "Objects",
            (
                panel(
                    "Batches stored",
                    ('sum by (dataset) (rate(onpoint_batches_total{stage="s3sink"}[5m]))', "{{dataset}}"),
                    unit="ops",
                ),
                panel(
                    "Bytes stored",
                    (
                        'sum by (dataset) (rate(onpoint_bytes_total{stage="s3sink", direction="written"}[5m]))',
                        "{{dataset}}",
                    ),
                    unit="Bps",
                ),
                panel(
                    "Objects to be written",
                    ('max(onpoint_lake_objects_waiting{service="s3sink"})', "objects"),
                ),
                panel(
                    "Batches that wait for others",
                    ('sum(onpoint_lake_batches_waiting{service="s3sink"})', "batches"),
                ),
            ),
        ),
        Row(
            "Sweep",
            (
                panel(
                    "Objects removed",
                    ("sum by (kind) (increase(onpoint_swept_objects_total[1h]))", "{{kind}}"),
                    only_under="a sweep that finds something",
                ),
                panel(
                    "Bytes freed",
                    ("sum by (kind) (increase(onpoint_swept_bytes_total[1h]))", "{{kind}}"),
                    unit="bytes",
                    only_under="a sweep that finds something",
                ),
            ),
        ),
    ),
)
