"""A table and its changes as hashes: they agree where every value does, and say nothing where they cannot tell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.client.cdc.proof.columns import SourceColumn
from console.client.cdc.proof.compare import compare
from console.client.cdc.proof.digests import agree, digest_object

COLUMNS = [SourceColumn("id", "bigint", True), SourceColumn("v", "text", False)]
FIELDS: dict[str, pa.DataType] = {
    "Op": pa.string(),
    "_lsn": pa.int64(),
    "_offset": pa.int64(),
    "id": pa.int64(),
    "v": pa.string(),
    "_unchanged": pa.list_(pa.string()),
}
SCHEMA = pa.schema(FIELDS)
Change = tuple[Any, ...]
NULL = "\\N"
DEFAULTS: list[Any] = [1, None]
"""LSN, and names of values that were not logged."""


class Case:
    """Objects and rows in a folder, compared in both ways."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offset = 0
        self._objects: list[Path] = []

    def object(self, *changes: Change, schema: pa.Schema = SCHEMA) -> "Case":
        """Of (Op, id, v) or (Op, id, v, LSN, _unchanged)."""
        rows: list[tuple[Any, ...]] = []
        for change in changes:
            operation, key, value, lsn, unchanged = [*change, *DEFAULTS[len(change) - 3 :]]
            rows.append((operation, lsn, self._offset, key, value, unchanged))
            self._offset += 1
        file = self._folder / f"{len(self._objects)}.parquet"
        columns = {name: [row[place] for row in rows] for place, name in enumerate(schema.names)}
        pq.write_table(pa.table(columns, schema=schema), file)
        self._objects.append(file)
        return self

    def agrees(self, *rows: tuple[int, str | None], columns: Sequence[SourceColumn] = COLUMNS) -> int | None:
        """With the table's rows. Hashes never agree where the comparison of values finds a difference."""
        file = self._folder / "rows.csv"
        file.write_text("".join(f"{key},{NULL if v is None else v}\n" for key, v in rows))
        digests = [digest_object(each, columns, 10) for each in self._objects]
        found = agree(digests, file, columns, self._folder)
        if found is not None:
            assert not compare(self._objects, file, columns, 10, self._folder).differences
        return found


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_the_last_change_of_each_key_over_all_objects_counts(case: Case) -> None:
    case.object(("I", 1, "a"), ("I", 2, "b"), ("I", 3, "c")).object(
        ("U", 1, "x"), ("D", 2, "b"), ("I", 4, None)
    )
    assert case.agrees((1, "x"), (3, "c"), (4, None)) == 3


@pytest.mark.parametrize(
    "rows",
    [
        [(1, "x")],
        [(1, "a"), (2, "b")],
        [(1, "x"), (2, "b"), (3, "c")],
        [(1, "x"), (2, None)],
        [(1, "b"), (2, "x")],
    ],
    ids=["extra", "different", "missing", "null", "swapped"],
)
def test_any_difference_keeps_them_apart(case: Case, rows: list[tuple[int, str | None]]) -> None:
    case.object(("I", 1, "a"), ("I", 2, "b")).object(("U", 1, "x"))
    assert case.agrees(*rows) is None


def test_what_was_before_a_truncate_counts_no_more_in_whichever_object_it_is(case: Case) -> None:
    case.object(("I", 1, "a"), ("I", 2, "b")).object(("I", 3, "c"), ("T", None, None), ("I", 4, "d"))
    assert case.agrees((4, "d")) == 1


def test_changes_after_the_moment_do_not_count(case: Case) -> None:
    case.object(("I", 1, "a", 10), ("U", 1, "later", 11), ("I", 2, "later", 11))
    assert case.agrees((1, "a")) == 1


def test_no_object_is_an_empty_table(case: Case) -> None:
    assert case.agrees() == 0
    assert case.agrees((1, "a")) is None


def test_a_text_of_no_value_is_not_no_value(case: Case) -> None:
    case.object(("I", 1, "null"), ("I", 2, None))
    assert case.agrees((1, None), (2, None)) is None
    assert case.agrees((1, "null"), (2, None)) == 2


@pytest.mark.parametrize("why", ["not logged", "no key", "types"])
def test_where_hashes_cannot_tell_they_say_so(case: Case, why: str) -> None:
    columns = [SourceColumn("id", "bigint", False), COLUMNS[1]] if why == "no key" else COLUMNS
    case.object(("I", 1, "a"))
    if why == "not logged":
        case.object(("U", 1, None, 1, ["v"]))
    if why == "types":
        case.object(("U", "1", "a"), schema=pa.schema({**FIELDS, "id": pa.string()}))
    assert case.agrees((1, "a"), columns=columns) is None
