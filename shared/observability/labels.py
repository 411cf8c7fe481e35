"""The labels of metrics: what their values are, and how many of them a process shows at most."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

from shared.events.topology import Stage
from shared.reasons import Reason

OTHER: Final = "other"
"""The value that stands for those beyond a label's bound."""

MOST_DATASETS: Final = 40
"""With up to 15 reasons of refusal each, and what else is counted by dataset: half of 2,000 series."""


@dataclass(frozen=True, slots=True)
class Label:
    meaning: str
    most: int | None = None
    """The first that a process meets are shown, the others count together as `other`; None: their number is fixed."""


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


LABELS: Final[Mapping[str, Label]] = {
    "channel": Label("name of a channel of news, in the file that `ONPOINT_NEWS_FILE` names", 60),
    "check": Label("`database`, `freshness`, `latency`, `error_rate`, `resources`, `change_capture`"),
    "dataset": Label("name of a dataset file", MOST_DATASETS),
    "direction": Label("`read` or `written`"),
    "format": Label("of export files: `parquet`, `csv`, `json`, `xlsx`, `feather`, `avro`"),
    "group": Label("consumer group of a service: `onpoint-<service>`"),
    "kind": Label("as the metric says"),
    "outcome": Label("as the metric says"),
    "partition": Label("number of a partition that the process has"),
    "reason": Label(
        f"why a row, batch or record could not go on: {_listed([each.value for each in Reason])}"
    ),
    "result": Label("`done` or `failed`"),
    "run": Label("id of a run that goes on: of the newest ones only (see the section)"),
    "server": Label("`<host>:<port>` as in ONPOINT_KAFKA_BOOTSTRAP_SERVERS", 20),
    "severity": Label("of a check: `warn` or `error`"),
    "source": Label("`source.name` of a dataset file", 40),
    "stage": Label(f"{_listed(get_args(Stage))}"),
    "state": Label("as the metric says"),
    "status": Label("of a batch: `done`, `dead`; of a run: `succeeded`, `partial`, `failed`, `cancelled`"),
    "table": Label("of change capture: `<schema>.<table>`", 100),
    "topic": Label("of Kafka", 300),
}
