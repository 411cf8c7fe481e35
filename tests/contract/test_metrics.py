"""The metrics that dashboards and alerts ask for are the agreed ones (`tests/support/golden.py`)."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import prometheus_client
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.utils import floatToGoString

import services
import shared
from shared.observability.metrics import REGISTRY
from tests.support import golden

OF_THE_LIBRARY = ("process_", "python_")
SUFFIX = {"counter": "_total"}
"""What the exposition puts behind the name."""


def import_every_module() -> None:
    for package in (shared, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)


def collectors() -> Iterator[Any]:
    """Those that `/metrics` shows, and those in other registries."""
    for registry in (REGISTRY, prometheus_client.REGISTRY):
        by_name = registry._names_to_collectors  # noqa: SLF001 - no public view of collectors
        yield from {id(each): each for each in by_name.values()}.values()


def exposed() -> dict[str, dict[str, Any]]:
    import_every_module()
    found: dict[str, dict[str, Any]] = {}
    for collector in collectors():
        for family in collector.describe() if hasattr(collector, "describe") else collector.collect():
            name = family.name + SUFFIX.get(family.type, "")
            if name.startswith(OF_THE_LIBRARY):
                continue
            assert isinstance(collector, MetricWrapperBase), f"the labels of {name} are not known here"
            assert name not in found, f"{name} is there twice"
            found[name] = {"type": family.type, "help": family.documentation, "labels": labels_of(collector)}
            if family.type == "histogram":
                found[name]["buckets"] = buckets_of(collector)
    return found


def labels_of(collector: MetricWrapperBase) -> list[str]:
    return list(collector._labelnames)  # noqa: SLF001 - as above


def buckets_of(histogram: Any) -> list[str]:
    """The bounds of the buckets, as the exposition writes them."""
    bounds = histogram._upper_bounds  # noqa: SLF001 - as above
    return [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]  # the library's own


def test_every_metric_has_the_agreed_name_type_labels_help_and_buckets() -> None:
    golden.compare("metrics", exposed())
