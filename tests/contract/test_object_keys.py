"""Object keys and identifiers of the same things are the agreed ones (`tests/support/golden.py`)."""

from datetime import UTC, datetime
from inspect import getmembers, isfunction, signature
from types import ModuleType
from typing import Any

from services.s3sink.domain import object_name
from shared.events import ids
from shared.storage import keys
from tests.support import golden

BATCH_ID = "7d0b7a4c2f0e4f5e8f8f4d1f6b1a2c3d"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)

ARGUMENTS: dict[str, Any] = {
    "run_id": "nightly_2026-01-02.a",
    "dataset": "posts_of_2026",
    "sequence": 7,
    "version": 2,
    "stage": "processor",
    "batch_id": BATCH_ID,
    "batch_ids": (BATCH_ID, BATCH_ID[::-1]),
    "sha256": BATCH_ID * 2,
    "extension": "jsonl.zst",
    "file_format": "csv",
    "folder": "posts/year=2026/month=01/day=02/hour=03",
    "name": "000007-7d0b7a4c2f0e",
    "requested_at": MOMENT,
    "topic": "crawl.requested",
    "partition": 0,
    "offset": 42,
    "timestamp_ms": 1_767_323_045_000,
    "appended_at": MOMENT,
    "table": "crm.Größe/1",
    "at": MOMENT,
    "first_offset": 0,
    "last_offset": 4_999,
}
"""By the name of a parameter."""


def result_of(function: Any) -> str:
    parameters = signature(function).parameters
    assert parameters.keys() <= ARGUMENTS.keys(), f"an argument is needed for each of {list(parameters)}"
    return str(function(*(ARGUMENTS[name] for name in parameters)))


def results(module: ModuleType) -> dict[str, str]:
    """The result of every public function of the module."""
    return {
        name: result_of(function)
        for name, function in getmembers(module, isfunction)
        if not name.startswith("_") and function.__module__ == module.__name__
    }


def test_every_object_has_the_agreed_key() -> None:
    golden.compare("object_keys", results(keys))


def test_what_is_derived_gets_the_agreed_identifier() -> None:
    """With another identifier the same work would be done again, beside the existing results."""
    derived = (ids.batch_id, ids.plan_unit_id, ids.run_id_of_record, object_name)
    found = {function.__name__: result_of(function) for function in derived}
    golden.compare("identifiers", found | {"derive": ids.derive("ä", "\u2028", '"', 7, -1)})
