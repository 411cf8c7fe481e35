"""What a dashboard shows, apart from how Grafana wants it said."""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["short", "rows", "s", "bytes", "ops", "percentunit", "Bps", "none"]


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    queries: tuple[Query, ...]
    unit: Unit = "short"
    says: str = ""
    """What a person reads from it; shown behind the (i) of the panel."""
    kind: Literal["timeseries", "stat"] = "timeseries"
    only_under: str = ""
    """The fault or feature without which it has no data; empty: a run is enough."""


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of the dashboard: the values of a label of a metric."""

    label: str
    metric: str

    @property
    def everything(self) -> str:
        """The regular expression for which Grafana lets `All` stand."""
        return ".*"


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)
