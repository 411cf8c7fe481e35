"""Identifiers are derived; their form is part of the outside contract."""

import hashlib
from datetime import UTC, datetime

import pytest

from shared.events import ids


def test_a_batch_id_is_the_hash_of_the_compact_json_array_of_its_parts() -> None:
    expected = hashlib.sha256(b'["2026-11-23-daily","posts",0]').hexdigest()[:32]
    assert ids.batch_id("2026-11-23-daily", "posts", 0) == expected


def test_text_beyond_ascii_is_hashed_as_utf_8() -> None:
    assert ids.derive("é") == hashlib.sha256('["é"]'.encode()).hexdigest()[:32]


def test_a_plan_unit_never_has_the_id_of_a_batch() -> None:
    assert ids.plan_unit_id("r", "posts") not in {ids.batch_id("r", "posts", n) for n in range(100)}


def test_a_run_without_an_id_is_named_by_where_and_when_it_was_asked_for() -> None:
    appended_at = datetime(2026, 11, 24, 6, 7, 8, 900_000, tzinfo=UTC)
    timestamp_ms = int(appended_at.timestamp() * 1000)
    expected = hashlib.sha256(f'["crawl.requested",0,5,{timestamp_ms}]'.encode()).hexdigest()[:8]
    found = ids.run_id_of_record("crawl.requested", 0, 5, timestamp_ms, appended_at)
    assert found == f"r-20261124T060708Z-{expected}"
    assert ids.is_run_id(found)


@pytest.mark.parametrize("name", ["a", "2026-11-23-daily", "A.b_c-d", "x" * 128])
def test_run_ids_of_the_contract_are_accepted(name: str) -> None:
    assert ids.is_run_id(name)


@pytest.mark.parametrize(
    "name",
    ["", ".a", "-a", "_a", "a/b", "a b", "a\n", "a\x00", "é", "x" * 129, "../a", "a\u202e", "a%2f", "a\\b"],
)
def test_other_run_ids_are_refused(name: str) -> None:
    assert not ids.is_run_id(name)


@pytest.mark.parametrize("name", ["", "Posts", "1a", "a-b", "a.b", "a/b", "a" * 64, "_a", "pósts", "a\n"])
def test_dataset_names_are_lower_case_identifiers(name: str) -> None:
    assert not ids.is_dataset_name(name)
