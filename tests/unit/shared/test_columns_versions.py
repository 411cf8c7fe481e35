"""Versions of a dataset's columns: what a batch needs follows from its records, whatever came to the chain since."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.processor.domain.fields import FieldsSeen
from shared.datasets.chain import ColumnsChain
from shared.datasets.column import Column
from shared.datasets.model import Dataset
from shared.datasets.naming import column_name
from shared.datasets.seen import Seen
from shared.datasets.versions import Cause, ColumnsVersion, columns_at, settle
from shared.errors import PermanentError
from shared.events.ids import batch_id
from shared.storage import keys
from shared.storage.errors import ObjectMissingError
from shared.storage.object_store import open_memory
from tests.support.crawled import a_dataset

AT = datetime(2026, 11, 23, tzinfo=UTC)
COLUMNS = [
    {"name": "id", "type": "int64"},
    {"name": "label", "type": "string"},
    {"name": "small", "type": "int16"},
]
NAMES = [
    "id",
    "label",
    "small",
    "a",
    "A",
    "userName",
    "user_name",
    "_run_id",
    "ctid",
    "é",
    "x" * 80,
    "b",
    "c",
    "",
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.just([]),
    st.just({"k": 1}),
)
RECORDS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=5), max_size=4)
CONTRACTS = st.fixed_dictionaries(
    {
        "new_columns": st.sampled_from(["ignore", "evolve"]),
        "types": st.sampled_from(["strict", "widen"]),
        "max_columns": st.integers(1, 4),
    }
)


def dataset_of(**contract: Any) -> Dataset:
    return a_dataset(COLUMNS, key=["id"], schema=contract)


def look(records: Sequence[dict[str, Any]]) -> dict[str, Seen]:
    """Also of numbers that no 64 bits hold."""
    found = FieldsSeen(())
    found.look("\n".join(map(json.dumps, records)).encode())
    return found.found()


def cause(number: int) -> Cause:
    return Cause("run-1", batch_id("run-1", "things", number), AT)


def grow(
    dataset: Dataset, chain: list[ColumnsVersion], records: Sequence[dict[str, Any]], number: int
) -> int:
    """The version by which the batch is processed, after the chain got what it needs."""
    settled = settle(dataset, chain, look(records), cause(number))
    if settled.version is not None and settled.is_new:
        chain.append(settled.version)
    return 1 if settled.version is None else settled.version.version


@given(CONTRACTS, st.lists(RECORDS, max_size=5), st.randoms(use_true_random=False))
def test_a_batch_done_again_has_the_same_version_whatever_came_since(
    contract: dict[str, Any], batches: list[list[dict[str, Any]]], random: Any
) -> None:
    dataset, chain = dataset_of(**contract), list[ColumnsVersion]()
    first = [grow(dataset, chain, records, number) for number, records in enumerate(batches)]
    length, order = len(chain), list(range(len(batches)))
    random.shuffle(order)
    for number in order:
        assert grow(dataset, chain, batches[number], number) == first[number]
    assert len(chain) == length


@given(CONTRACTS, st.lists(RECORDS, max_size=5))
def test_a_version_only_adds_and_widens(
    contract: dict[str, Any], batches: list[list[dict[str, Any]]]
) -> None:
    dataset, chain = dataset_of(**contract), list[ColumnsVersion]()
    for number, records in enumerate(batches):
        grow(dataset, chain, records, number)
    assert [version.version for version in chain] == list(range(2, len(chain) + 2))
    found = [columns_at(dataset, version) for version in (None, *chain)]
    for before, after in pairwise(found):
        names = [column.name for column in after.columns]
        assert names[: len(before.columns)] == [column.name for column in before.columns]
        assert before != after
        assert {column.name: column for column in before.columns}["id"] in after.columns
    assert len(found[-1].added) <= contract["max_columns"]
    Dataset.model_validate(found[-1].model_dump(by_alias=True, exclude_unset=True))


@given(st.lists(RECORDS, max_size=4), RECORDS)
def test_the_order_of_records_makes_no_difference(
    pieces: list[list[dict[str, Any]]], more: list[dict[str, Any]]
) -> None:
    together = look([record for piece in [*pieces, more] for record in piece])
    joined: dict[str, Seen] = {}
    for piece in [more, *reversed(pieces)]:
        for name, kind in look(piece).items():
            joined[name] = joined[name] | kind if name in joined else kind
    assert joined == together


@given(CONTRACTS, st.lists(RECORDS, min_size=1, max_size=4), st.data())
def test_two_replicas_in_any_order_give_the_same(
    contract: dict[str, Any], batches: list[list[dict[str, Any]]], data: st.DataObject
) -> None:
    """Both work on all batches; each step of either reads the chain, or stores what it made of what it had read."""
    dataset, chain = dataset_of(**contract), list[ColumnsVersion]()
    results: list[list[int]] = [[], []]
    drafts: list[ColumnsVersion | None] = [None, None]
    while any(len(found) < len(batches) for found in results):
        who = data.draw(st.sampled_from([n for n in (0, 1) if len(results[n]) < len(batches)]))
        draft, number = drafts[who], len(results[who])
        if draft is not None:
            drafts[who] = None
            if (
                draft.version == len(chain) + 2
            ):  # a conditional put: else another was first, and it reads again
                chain.append(draft)
                results[who].append(draft.version)
            continue
        settled = settle(dataset, list(chain), look(batches[number]), cause(number))
        if settled.version is not None and settled.is_new:
            drafts[who] = settled.version
        else:
            results[who].append(1 if settled.version is None else settled.version.version)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("values", "strict", "widest"),
    [
        ([1, 2], "int64", "int32"),
        ([2**31], "int64", "int64"),
        ([2**63], "json", "json"),
        ([1, 0.5], "float64", "float64"),
        ([2**53, 0.5], "json", "json"),
        ([1e30], "json", "json"),
        ([True], "boolean", "boolean"),
        ([True, 1], "json", "json"),
        (["a"], "string", "string"),
        (["a", 1], "json", "json"),
        ([{}], "json", "json"),
        ([[], None], "json", "json"),
    ],
)
def test_the_type_of_a_new_column_holds_its_values(values: list[Any], strict: str, widest: str) -> None:
    for types, wanted in (("strict", strict), ("widen", widest)):
        dataset, chain = dataset_of(new_columns="evolve", types=types), list[ColumnsVersion]()
        grow(dataset, chain, [{"new": value} for value in values], 0)
        assert chain[0].added[0].type == wanted


def test_fields_that_are_only_null_add_nothing() -> None:
    assert settle(dataset_of(new_columns="evolve"), [], look([{"new": None}]), cause(0)).version is None


@pytest.mark.parametrize(
    ("before", "then", "type_", "from_any"),
    [
        (1, 2**40, "int64", False),
        (1, 0.5, "float64", False),
        (2**40, 0.5, "string", True),
        (True, 1, "string", True),
        (0.5, "x", "string", True),
        ("x", 1, "string", True),
        (1, [1], "string", True),
    ],
)
def test_a_column_becomes_as_wide_as_its_values_need(
    before: Any, then: Any, type_: str, from_any: bool
) -> None:
    dataset, chain = dataset_of(new_columns="evolve", types="widen"), list[ColumnsVersion]()
    grow(dataset, chain, [{"new": before}], 0)
    grow(dataset, chain, [{"new": then}], 1)
    [column] = chain[-1].added
    assert (column.type, column.from_any) == (type_, from_any)


def test_columns_of_the_file_become_wider_but_never_a_key() -> None:
    dataset, chain = dataset_of(types="widen"), list[ColumnsVersion]()
    grow(dataset, chain, [{"id": "x", "label": 1, "small": 2**20}], 0)
    found = {column.name: column for column in columns_at(dataset, chain[-1]).columns}
    assert (found["id"].type, found["small"].type) == ("int64", "int32")
    assert found["label"].from_any


def test_a_field_that_makes_no_column_is_told() -> None:
    dataset = dataset_of(new_columns="evolve", max_columns=2)
    fields = look([{"Label": 1, "ctid": 1, "é": 1, "a": 1, "b": 1, "c": 1}])
    settled = settle(dataset, [], fields, cause(0))
    assert settled.version is not None
    assert [column.name for column in settled.version.added] == ["a", "b"]
    assert settled.ignored == {
        "Label": "the column label is for another field",
        "ctid": "its name makes no name of a column",
        "é": "its name makes no name of a column",
        "c": "there is no room for more columns (max_columns: 2)",
    }


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("userName", "user_name"), ("HTTPStatus", "http_status"), ("Full Name", "full_name"), ("a.b", "a_b"),
        ("x", "x"), ("1st", None), ("", None), ("--", None), ("é", None), ("a\nb", None), ("x" * 64, None),
        ("etl_processed_at", None), ("ctid", None), ("tableoid", None), ("drop table x;--", "drop_table_x"),
    ],
)  # fmt: skip
def test_a_field_gives_its_column_a_name(field: str, name: str | None) -> None:
    assert column_name(field) == name


@given(st.text(max_size=80))
def test_any_field_makes_a_name_that_can_be_used_or_none(field: str) -> None:
    name = column_name(field)
    if name is not None:
        dataset = dataset_of(new_columns="evolve")
        settled = settle(dataset, [], {field: Seen(has_texts=True)}, cause(0))
        if settled.version is not None:
            [column] = settled.version.added
            assert column.path == (field,)


def test_a_file_that_names_the_column_later_is_taken_as_it_is() -> None:
    dataset, chain = dataset_of(new_columns="evolve"), list[ColumnsVersion]()
    grow(dataset, chain, [{"a": 1, "b": "x"}], 0)
    columns = [*COLUMNS, {"name": "alpha", "type": "float64", "from": "a"}]
    later = a_dataset(columns, key=["id"], schema={"new_columns": "evolve"})
    assert [column.name for column in columns_at(later, chain[-1]).columns][3:] == ["alpha", "b"]


def test_the_columns_of_a_fixed_file_are_never_others() -> None:
    chain = list[ColumnsVersion]()
    grow(dataset_of(new_columns="evolve"), chain, [{"a": 1}], 0)
    for contract in ({}, {"new_columns": "reject"}):
        dataset = dataset_of(**contract)
        assert columns_at(dataset, chain[-1]) is dataset


async def test_of_two_that_store_a_version_one_is_first() -> None:
    staging = open_memory("staging")
    one, other = ColumnsChain(staging), ColumnsChain(staging)
    dataset = dataset_of(new_columns="evolve")
    drafts = [settle(dataset, [], look([{name: 1}]), cause(0)).version for name in "ab"]
    stored = await asyncio.gather(
        *(chain.append(d) for chain, d in zip((one, other), drafts, strict=True) if d)
    )
    assert sorted(stored) == [False, True]
    assert await one.all("things") == await other.all("things") == [drafts[stored.index(True)]]
    assert await one.get("things", 2) == drafts[stored.index(True)]
    assert await one.get("things", 1) is None
    with pytest.raises(ObjectMissingError):
        await one.get("things", 3)


async def test_an_object_that_is_no_version_is_refused() -> None:
    staging = open_memory("staging")
    await staging.put(keys.columns_key("things", 2), b"{}")
    with pytest.raises(PermanentError, match=r"schemas/things/000002\.json"):
        await ColumnsChain(staging).all("things")


def test_a_column_of_the_file_may_take_any_value() -> None:
    assert Column.model_validate({"name": "a", "type": "string", "from_any": True}).from_any
    for more in ({"type": "int64"}, {"type": "list<string>"}, {"trim": True}, {"nulls": ["x"]}):
        with pytest.raises(
            ValueError, match=r"for columns? of type string|for a column of type string alone"
        ):
            Column.model_validate({"name": "a", "type": "string", "from_any": True, **more})
