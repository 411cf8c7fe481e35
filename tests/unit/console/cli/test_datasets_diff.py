"""`onpoint datasets diff` for people: what differs, and nothing where nothing does."""

from typing import Any

import pytest

from console.cli.datasets_diff import diff, lines_of
from console.cli.errors import WrongUseError

SCHEMA = {"new_columns": "evolve", "types": "widen", "max_columns": 50}
SAME = {"name": "id", "from": "id", "file": "int64", "newest": "int64", "table": "bigint", "differs": []}


def document(**more: Any) -> dict[str, Any]:
    return {
        "dataset": "things",
        "table": "t_things",
        "schema": SCHEMA,
        "versions": [],
        "columns": [SAME],
        **more,
    }


def test_where_nothing_differs_one_line_says_so() -> None:
    assert list(lines_of(document())) == [
        "things: table t_things, new columns: evolve (at most 50), types: widen",
        "version 1 is the newest: the columns of its file",
        "file, versions and table have the same columns",
    ]


def test_each_version_tells_what_it_added_and_widened() -> None:
    version = {
        "version": 2, "run_id": "run-1", "batch_id": "b" * 32, "made_at": "2026-11-23T00:00:00+00:00",
        "added": [{"name": "user_name", "type": "string", "from": "userName"}],
        "widened": [
            {"name": "n", "type": "float64", "from": "n", "was": "int32"},
            {"name": "t", "type": "string", "from": "t", "was": "string"},
        ],
    }  # fmt: skip
    added = {
        "name": "user_name",
        "file": None,
        "newest": "string",
        "table": None,
        "differs": ["added", "not in the table yet"],
    }
    lines = list(lines_of(document(versions=[version], columns=[SAME, added])))
    assert lines[1:] == [
        "version 2: by run run-1, 2026-11-23T00:00:00+00:00",
        "  + user_name string, from userName",
        "  > n int32 becomes float64",
        "  > t string becomes string of every value",
        "column     file  newest  table",
        "user_name  -     string  -      added, not in the table yet",
    ]


def test_of_two_runs_the_columns_that_differ_are_told() -> None:
    runs = [{"run_id": "monday", "columns_version": 1}, {"run_id": "friday", "columns_version": 3}]
    columns = [
        {"name": "id", "before": "int64", "after": "int64", "differs": []},
        {"name": "a", "before": None, "after": "json", "differs": ["added"]},
    ]
    assert list(lines_of({"dataset": "things", "runs": runs, "columns": columns})) == [
        "things: monday (version 1), then friday (version 3)",
        "column  before  after",
        "a       -       json   added",
    ]


@pytest.mark.parametrize(
    ("name", "runs", "refusal"),
    [
        ("post", [], "there is no dataset post"),
        ("posts", ["one"], "name two runs"),
        ("posts", ["one", "two", "three"], "name two runs"),
    ],
)
def test_wrong_use_is_told(name: str, runs: list[str], refusal: str) -> None:
    with pytest.raises(WrongUseError, match=refusal):
        diff(name, runs)
