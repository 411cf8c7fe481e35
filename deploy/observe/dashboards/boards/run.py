"""How far runs are."""

from deploy.observe.dashboards.boards.parts import panel, stat
from deploy.observe.dashboards.model import Dashboard, Row, Variable

LONG = "a run that goes on for a minute or more"

RUN = Dashboard(
    "onpoint-run",
    "OnPoint: run",
    (
        Row(
            "Progress",
            (
                stat("Time to go", 'max(onpoint_run_eta_seconds{run=~"$run"})', "s", only_under=LONG),
                panel(
                    "Rows done",
                    ('sum by (stage) (onpoint_run_rows{run=~"$run"})', "{{stage}}"),
                    ('sum(onpoint_run_promised_rows{run=~"$run"})', "promised"),
                ),
                panel("Rows to go", ('sum by (stage) (onpoint_run_rows_to_go{run=~"$run"})', "{{stage}}")),
                panel(
                    "Rows per second",
                    ('sum by (stage) (onpoint_run_rows_per_second{run=~"$run"})', "{{stage}}"),
                    unit="rows",
                    only_under=LONG,
                ),
                panel(
                    "Time to go by dataset",
                    (
                        'max by (dataset, stage) (onpoint_run_stage_eta_seconds{run=~"$run"})',
                        "{{dataset}} {{stage}}",
                    ),
                    unit="s",
                ),
                panel(
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
                panel(
                    "Oldest batch that waits",
                    ("max by (stage) (onpoint_oldest_unfinished_batch_age_seconds)", "{{stage}}"),
                    unit="s",
                ),
                panel(
                    "Oldest run that goes on", ("max(onpoint_oldest_open_run_age_seconds)", "age"), unit="s"
                ),
                panel(
                    "How long runs took, median and 95 %",
                    ("histogram_quantile(0.5, sum by (le) (rate(onpoint_run_seconds_bucket[1h])))", "50 %"),
                    ("histogram_quantile(0.95, sum by (le) (rate(onpoint_run_seconds_bucket[1h])))", "95 %"),
                    unit="s",
                ),
                panel(
                    "Rows that were not refused",
                    ("min(onpoint_row_success_ratio > 0)", "share"),
                    unit="percentunit",
                ),
                panel(
                    "Checks that failed",
                    (
                        "sum by (dataset, severity) (increase(onpoint_checks_failed_total[1h]))",
                        "{{dataset}} {{severity}}",
                    ),
                    only_under="a data check that fails",
                ),
                panel(
                    "Datasets without a run in time",
                    ("max by (dataset) (onpoint_run_overdue)", "{{dataset}}"),
                    only_under="`expect:` in a dataset file",
                ),
            ),
        ),
    ),
    (Variable("run", "onpoint_run_rows"),),
)
