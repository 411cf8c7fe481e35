"""Which workers may have a batch."""

import re
from typing import Any

import pytest

from shared.dask.versions import differences, fingerprint, own_versions
from shared.dask.workers import VERSIONS_FIELD, crew_of, resource_of

OWN = {"code": "1", "polars": "2"}
OTHER = {"code": "1", "polars": "3"}


def a_worker(versions: dict[str, str], *, status: str = "running", threads: int = 2) -> dict[str, Any]:
    return {"resources": {resource_of(versions): threads}, "status": status, VERSIONS_FIELD: versions}


def test_slots_are_the_threads_of_workers_of_the_same_versions_that_are_at_work() -> None:
    crew = crew_of(
        {
            "a": a_worker(OWN),
            "b": a_worker(OWN, status="paused"),
            "c": a_worker(OTHER),
            "d": a_worker(OWN, threads=1),
        },
        OWN,
    )
    assert (crew.members, crew.slots, crew.problem) == (3, 3, "")


@pytest.mark.parametrize(
    ("workers", "told"),
    [
        ({}, "has no worker"),
        (
            {"a": a_worker(OTHER)},
            r"worker a of the Dask cluster would write other bytes: polars 3 \(here 2\)",
        ),
        ({"a": a_worker(OWN, status="paused")}, r"all 1 workers .* stand still \(paused\)"),
        ({"a": {"resources": {}, "status": "running"}}, "worker a of the Dask cluster is not one of OnPoint"),
    ],
)
def test_why_there_is_no_slot_is_told(workers: dict[str, Any], told: str) -> None:
    crew = crew_of(workers, OWN)
    assert crew.slots == 0
    assert re.search(told, crew.problem)


def test_versions_are_those_of_the_code_its_language_and_its_libraries() -> None:
    versions = own_versions()
    assert {"onpoint", "code", "python", "dask", "polars", "pyarrow"} <= versions.keys()
    assert fingerprint(versions) == fingerprint(dict(sorted(versions.items(), reverse=True)))
    assert fingerprint(versions) != fingerprint({**versions, "code": "another"})


def test_differences_name_what_is_missing_too() -> None:
    assert differences({"a": "1"}, {"b": "2"}) == "a none (here 1), b 2 (here none)"
