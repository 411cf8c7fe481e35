from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.datasets.lake import parse_partition
from shared.storage.keys import partitioned_lake_key
from shared.storage.lake_folders import lake_folder

MOMENT = datetime(2026, 11, 3, 4, 5, tzinfo=UTC)


def folder(partitions: list[str], *values: str | None) -> str:
    return lake_folder([parse_partition(text) for text in partitions], MOMENT, values)


def test_the_time_of_the_run_has_a_level_for_each_unit() -> None:
    assert folder(["run.hour"]) == "year=2026/month=11/day=03/hour=04"
    assert folder(["run.month", "country"], "de") == "year=2026/month=11/part_country=de"
    assert folder(["at.day", "run.year"], "2020-01-02") == "part_at_day=2020-01-02/year=2026"


@pytest.mark.parametrize("value", [None, ""])
def test_null_and_the_empty_text_are_in_hive_s_folder(value: str | None) -> None:
    assert folder(["c"], value) == "part_c=__HIVE_DEFAULT_PARTITION__"


def test_long_values_that_begin_alike_have_folders_of_their_own() -> None:
    one, other = folder(["c"], "x" * 500 + "1"), folder(["c"], "x" * 500 + "2")
    assert one != other
    assert max(len(one), len(other)) < 200


@given(values=st.lists(st.text(max_size=400), min_size=5, max_size=5))
def test_no_value_leaves_its_level_or_the_bounds_of_a_key(values: list[str]) -> None:
    found = folder(["a", "b", "c", "d", "e"], *values)
    assert [level.partition("=")[0] for level in found.split("/")] == [f"part_{name}" for name in "abcde"]
    key = partitioned_lake_key("posts", MOMENT, "0" * 32, found)
    assert key.isascii()
    assert key.isprintable()
    assert len(key) <= 1024
    assert key.endswith(f"/2026110304-{'0' * 32}.parquet")


@pytest.mark.parametrize("bad", ["", "a//b", "../x", "a/.", "/a"])
def test_a_folder_that_could_leave_the_dataset_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="folder of the lake"):
        partitioned_lake_key("posts", MOMENT, "0" * 32, bad)
