"""A dataset's file changes, old rows stay: nothing is wrong with them, and whatever is wrong is still found."""

from typing import Any

import pytest

from tests.unit.console.verify.conftest import Installation, MakeInstallation, dataset_of

OLD: dict[str, str] = {"id": "int64", "name": "string"}
NEW: dict[str, str] = {**OLD, "extra": "int64"}
WAYS: list[dict[str, Any]] = [{}, {"swept": True}, {"frozen": True}, {"frozen": True, "swept": True}]
"""What is left of an old run: its staged rows, its file, both or nothing."""

ways = pytest.mark.parametrize("way", WAYS, ids=str)


def gained(make_installation: MakeInstallation, way: dict[str, Any], **changes: Any) -> Installation:
    """A run of before a column was gained and one of after, which brought one of its two rows anew."""
    installation = make_installation(NEW)
    installation.run(
        "old", dataset_of(OLD), [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], **way, **changes
    )
    installation.run("new", dataset_of(NEW), [{"id": 2, "name": "c", "extra": 9}], **way)
    installation.load("old", {"id": 1, "name": "a", "extra": None})
    installation.load("new", {"id": 2, "name": "c", "extra": 9})
    return installation


@ways
def test_objects_of_before_a_column_was_gained_are_right(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    assert gained(make_installation, way).problems() == []


@ways
def test_the_sink_may_write_a_gained_column_without_values(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    stored = [{"id": 1, "name": "a", "extra": None}, {"id": 2, "name": "b", "extra": None}]
    assert gained(make_installation, way, stored=stored).problems() == []


@ways
def test_a_value_that_is_lost_in_an_old_object_is_named(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    installation = gained(make_installation, way, stored=[{"id": 1, "name": None}, {"id": 2, "name": "b"}])
    [found] = installation.problems()
    assert found.startswith("d id=1 (record 0 of old)")


@pytest.mark.parametrize("way", [way for way in WAYS if not way.get("swept")], ids=str)
def test_a_value_is_missed_where_the_table_has_a_newer_row(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    """Only the staged rows show it: where they are swept, nothing but the lake's own rows is left to compare with."""
    installation = gained(make_installation, way, stored=[{"id": 1, "name": "a"}, {"id": 2, "name": "x"}])
    [found] = installation.problems()
    assert found.startswith("d id=2 (record 1 of old)")


@pytest.mark.parametrize("way", [way for way in WAYS if way != {"swept": True}], ids=str)
def test_a_column_that_an_old_object_lost_is_named(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    assert any(
        "lake-old" in problem
        for problem in gained(make_installation, way, stored=[{"id": 1}, {"id": 2}]).problems()
    )


@ways
def test_a_row_that_vanished_is_named(make_installation: MakeInstallation, way: dict[str, Any]) -> None:
    installation = gained(make_installation, way)
    installation.rows.pop(0)
    assert installation.problems() == ["d id=1 (record 0 of old): it is not in PostgreSQL"]


@ways
def test_a_gained_value_that_is_lost_is_named(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    installation = gained(make_installation, way)
    installation.rows[1]["extra"] = None
    assert installation.problems() == ["d id=2 (record 0 of new): it is not the same in PostgreSQL"]


@ways
def test_a_column_that_the_file_lost_may_stay_in_the_table(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    """A newer row leaves in it what the older one had brought."""
    installation = make_installation(OLD, {"id": "bigint", "name": "text", "extra": "bigint"})
    installation.run(
        "old",
        dataset_of(NEW),
        [{"id": 1, "name": "a", "extra": 7}, {"id": 2, "name": "b", "extra": 8}],
        **way,
    )
    installation.run("new", dataset_of(OLD), [{"id": 2, "name": "c"}], **way)
    installation.load("old", {"id": 1, "name": "a", "extra": 7})
    installation.load("new", {"id": 2, "name": "c", "extra": 8})
    assert installation.problems() == []


@pytest.mark.parametrize("way", [way for way in WAYS if way != {"swept": True}], ids=str)
def test_what_an_old_run_brought_to_a_column_that_the_file_lost_is_compared(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    installation = make_installation(OLD, {"id": "bigint", "name": "text", "extra": "bigint"})
    installation.run("old", dataset_of(NEW), [{"id": 1, "name": "a", "extra": 7}], **way)
    installation.load("old", {"id": 1, "name": "a", "extra": None})
    assert installation.problems() == ["d id=1 (record 0 of old): it is not the same in PostgreSQL"]


@ways
def test_a_column_that_file_and_table_lost_is_noted(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    installation = make_installation(OLD)
    installation.run("old", dataset_of(NEW), [{"id": 1, "name": "a", "extra": 7}], **way)
    installation.load("old", {"id": 1, "name": "a"})
    assert installation.problems() == []
    assert any("onpoint_d.extra" in note for note in installation.findings.notes)


@ways
def test_a_column_that_the_table_alone_lost_is_named(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    installation = make_installation(NEW, {"id": "bigint", "name": "text"})
    installation.run("old", dataset_of(NEW), [{"id": 1, "name": "a", "extra": 7}], **way)
    installation.load("old", {"id": 1, "name": "a"})
    assert installation.problems() == ["table onpoint_d: it has no column extra, which was loaded"]


@ways
def test_a_column_that_was_given_another_type_is_noted_and_the_others_are_compared(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    installation = make_installation({**OLD, "extra": "string"})
    installation.run(
        "old",
        dataset_of(NEW),
        [{"id": 1, "name": "a", "extra": 7}, {"id": 2, "name": "b", "extra": 8}],
        **way,
    )
    installation.load("old", {"id": 1, "name": "a", "extra": "7"})
    installation.load("old", {"id": 2, "name": "x", "extra": "8"}, 1)
    assert installation.problems() == ["d id=2 (record 1 of old): it is not the same in PostgreSQL"]
    assert any("onpoint_d.extra" in note for note in installation.findings.notes)


@ways
def test_the_columns_may_stand_in_another_order(
    make_installation: MakeInstallation, way: dict[str, Any]
) -> None:
    installation = make_installation({"extra": "int64", "name": "string", "id": "int64"})
    installation.run("old", dataset_of(NEW), [{"id": 1, "name": "a", "extra": 7}], **way)
    installation.load("old", {"id": 1, "name": "a", "extra": 7})
    assert installation.problems() == []
