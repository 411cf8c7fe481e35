"""`onpoint datasets state`: marks are shown, set and reset; each change is one more mark with who made it."""

import pytest

from console.cli import datasets_state, environment
from console.cli.errors import WrongUseError
from shared.datasets.catalog import Catalog
from shared.storage.object_store import open_memory
from tests.support.api_datasets import api_dataset

INCREMENTAL = {"field": "changed", "start": "2026-01-01", "lookback": "1d"}


@pytest.fixture(autouse=True)
def datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://api.example.org"
    known = {
        "orders": api_dataset(url, "orders", incremental=INCREMENTAL),
        "shops": api_dataset(url, "shops"),
    }
    store = open_memory()
    monkeypatch.setattr(environment, "catalog", lambda: Catalog(known))
    monkeypatch.setattr(environment, "staging", lambda: store)


def told(document: dict[str, object]) -> str:
    return next(datasets_state.lines_of(document))


def test_without_a_mark_the_next_run_begins_at_the_start() -> None:
    document = datasets_state.state("orders", None, reset=False)
    assert told(document) == "orders: the next run begins anew, at 2026-01-01"


def test_what_is_set_and_reset_stays_visible_with_who_did_it() -> None:
    set_to = datasets_state.state("orders", "2026-03-01", reset=False)
    assert told(set_to) == "orders: the next run begins at 2026-03-01T00:00:00Z, less 1d"
    reset = datasets_state.state("orders", None, reset=True)
    assert told(reset) == "orders: the next run begins anew, at 2026-01-01"
    assert [mark["value"] for mark in reset["marks"]] == [None, "2026-03-01T00:00:00Z"]
    assert all(mark["set_by"] for mark in reset["marks"])


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("shops", None, "shops has no `incremental`"),
        ("ordrs", None, "did you mean orders"),
        ("orders", "soon", "'soon' is not a day or time"),
    ],
)
def test_what_cannot_be_is_said(name: str, value: str | None, why: str) -> None:
    with pytest.raises(WrongUseError, match=why):
        datasets_state.state(name, value, reset=False)
