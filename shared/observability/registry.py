"""Declares metrics, each with what an operator needs to know of it; docs/metrics.md is made of these declarations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from shared.observability.labels import LABELS, OTHER

disable_created_metrics()  # type: ignore[no-untyped-call]  # a time per series, which is of no use

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal[
    "records",
    "batches",
    "rows",
    "bytes",
    "seconds",
    "requests",
    "files",
    "cores",
    "connections",
    "ratio",
    "count",
]
"""`count`: of what the meaning names. A ratio is between 0 and 1."""

HANDLING_BUCKETS_S: Final = (0.01, 0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""From a row in the ledger, which takes milliseconds, to a batch at a slow source, which takes minutes."""


MOST_CHARS: Final = 249
"""Of a label's value that data decides: the length of a topic's name."""


@dataclass(frozen=True, slots=True)
class Declaration:
    name: str
    """As it is exposed: a counter's ends with `_total`."""
    kind: Kind
    unit: Unit
    labels: tuple[str, ...]
    meaning: str
    """One or two sentences; also the HELP text."""
    remedy: str
    """What a person does where the value is bad; empty: nothing is to be done."""
    buckets: tuple[float, ...] = ()
    """Upper bounds, of a histogram."""


class BoundedCounter(Counter):
    """Beyond the bound of a label its values count together, as `other`: data must not make series without end."""

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        return super().labels(*bounded(self, labelvalues), **labelkwargs)


class BoundedGauge(Gauge):
    """As `BoundedCounter`. For values that are added up or of which any may stand for the others."""

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        return super().labels(*bounded(self, labelvalues), **labelkwargs)


class BoundedHistogram(Histogram):
    """As `BoundedCounter`."""

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        return super().labels(*bounded(self, labelvalues), **labelkwargs)


class Section:
    """Metrics that are documented together."""

    def __init__(self, title: str, exposed_by: str) -> None:
        self.title = title
        self.exposed_by = exposed_by
        """The services, for people."""
        self.declarations: list[Declaration] = []
        SECTIONS.append(self)

    def counter(
        self, name: str, meaning: str, *, unit: Unit, labels: Sequence[str] = (), remedy: str = ""
    ) -> Counter:
        self._declare(Declaration(name, "counter", unit, tuple(labels), meaning, remedy))
        return BoundedCounter(name, meaning, labels, registry=REGISTRY)

    def gauge(
        self, name: str, meaning: str, *, unit: Unit, labels: Sequence[str] = (), remedy: str = ""
    ) -> Gauge:
        self._declare(Declaration(name, "gauge", unit, tuple(labels), meaning, remedy))
        # Who sets gauges of runs bounds them as a whole: two datasets of a run must not become one.
        build = Gauge if "run" in labels else BoundedGauge
        return build(name, meaning, labels, registry=REGISTRY)

    def histogram(
        self,
        name: str,
        meaning: str,
        *,
        labels: Sequence[str] = (),
        remedy: str = "",
        buckets: Sequence[float] = HANDLING_BUCKETS_S,
    ) -> Histogram:
        """Of seconds."""
        self._declare(
            Declaration(name, "histogram", "seconds", tuple(labels), meaning, remedy, tuple(buckets))
        )
        return BoundedHistogram(name, meaning, labels, buckets=buckets, registry=REGISTRY)

    def _declare(self, declaration: Declaration) -> None:
        if unknown := set(declaration.labels) - LABELS.keys():
            raise ValueError(f"{declaration.name}: labels without a meaning: {', '.join(sorted(unknown))}")
        self.declarations.append(declaration)


SECTIONS: list[Section] = []


def bounded(metric: MetricWrapperBase, values: Sequence[object]) -> list[object]:
    """The label values, those beyond their label's bound as `other`."""
    names: Sequence[str] = metric._labelnames  # noqa: SLF001 - no public view of them
    found: list[object] = []
    for position, (name, value) in enumerate(zip(names, values, strict=False)):
        most = LABELS[name].most
        if most is None:
            found.append(value)
            continue
        known = _seen(metric, position)
        text = str(value)[:MOST_CHARS]
        if text not in known and len(known) >= most:
            text = OTHER
        else:
            known.add(text)
        found.append(text)
    return [*found, *values[len(found) :]]


def _seen(metric: Any, position: int) -> set[str]:
    seen: dict[int, set[str]] = metric.__dict__.setdefault("_seen_values", {})
    return seen.setdefault(position, set())
