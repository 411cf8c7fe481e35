"""The metrics that dashboards and alerts ask for are the agreed ones (`tests/support/golden.py`), each declared once.

docs/metrics.md is made of the declarations: `GOLDEN=new` makes it anew, too.
"""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import prometheus_client
import pytest
from prometheus_client.metrics import MetricWrapperBase

import services
import shared
from shared.observability import metrics
from shared.observability.labels import LABELS
from shared.observability.page import render
from shared.observability.registry import REGISTRY, SECTIONS, Declaration
from tests.support import golden
from tests.support.records import ROOT

PAGE = ROOT / "docs" / "metrics.md"
OF_THE_LIBRARY = ("process_", "python_")
ENDS = {"seconds": "_seconds", "bytes": "_bytes", "ratio": "_ratio"}
"""What the name of a metric ends with, before `_total`, by its unit."""


def import_every_module() -> None:
    for package in (shared, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)


def declared() -> dict[str, Declaration]:
    import_every_module()
    found = [each for section in SECTIONS for each in section.declarations]
    assert len({each.name for each in found}) == len(found), "a name is declared twice"
    return {each.name: each for each in found}


def exposed() -> Iterator[str]:
    """Names in the registry that `/metrics` shows, and in the one of the library."""
    import_every_module()
    for registry in (REGISTRY, prometheus_client.REGISTRY):
        for name in registry._names_to_collectors:  # noqa: SLF001 - no public view of them
            if not name.startswith(OF_THE_LIBRARY):
                yield name


def test_every_metric_has_the_agreed_name_kind_labels_and_buckets() -> None:
    golden.compare(
        "metrics",
        {
            name: {
                "kind": each.kind,
                "unit": each.unit,
                "labels": list(each.labels),
                "buckets": list(each.buckets),
            }
            for name, each in declared().items()
        },
    )


def test_no_metric_is_made_beside_the_declarations() -> None:
    bases = {name.removesuffix("_total") for name in declared()}
    strangers = {re.sub(r"_(total|created|bucket|count|sum)$", "", name) for name in exposed()} - bases
    assert not strangers, "declare them in shared/observability/metrics.py"


@pytest.mark.parametrize("name", sorted(declared()))
def test_a_name_tells_kind_and_unit(name: str) -> None:
    each = declared()[name]
    assert re.fullmatch(r"onpoint_[a-z_]+", name)
    assert name.endswith("_total") == (each.kind == "counter")
    if (end := ENDS.get(each.unit)) is not None:
        assert end in name, f"{name} does not name its unit"


def test_every_metric_is_set_somewhere() -> None:
    """A name that alerts ask for and nothing sets would stay quiet for ever."""
    sources = [path for folder in ("shared", "services") for path in (ROOT / folder).rglob("*.py")]
    text = "\n".join(path.read_text() for path in sources if path.parent.name != "observability")
    names = [name for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)]
    assert len(names) == len(declared())
    assert not [name for name in names if not re.search(rf"\b{name}\b(?=\.|,?\n|,| if|\))", text)]


def test_where_data_decides_the_values_of_a_label_they_are_bounded() -> None:
    assert {name for name, label in LABELS.items() if label.most} >= {"dataset", "source", "table", "topic"}


def test_the_page_of_metrics_is_that_of_the_declarations() -> None:
    import_every_module()
    made = render(SECTIONS)
    if golden.is_made_anew():
        PAGE.write_text(made, encoding="utf-8")
        pytest.skip("docs/metrics.md was made anew")
    assert PAGE.read_text(encoding="utf-8") == made, golden.how_to_make_anew()
