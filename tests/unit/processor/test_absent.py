"""A column whose field no record had is named, with the fields that the records had instead."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.processor.adapters import raw_file
from services.processor.domain import absent
from services.processor.domain.lines import Chunk
from services.processor.domain.parse import Watch, parse_chunk
from services.processor.domain.parse_schema import parse_schema_of
from services.processor.service import ProcessorService
from shared.events.models import BatchManifest
from shared.observability.metrics import ROWS_REJECTED
from shared.storage.object_store import ObjectStore
from tests.support.crawled import a_dataset, put_crawled
from tests.unit.processor.test_odd_records import processed

USERS = a_dataset(
    [
        {"name": "id", "type": "int64"},
        {"name": "name", "from": "Name", "type": "string"},
        {"name": "city", "from": "address.city", "type": "string"},
        {"name": "lat", "from": "address.geo.lat", "type": "float64", "fill": 0},
        {"name": "size", "from": "größe/cm", "type": "int64"},
    ],
    key=["id"],
)

ALL = ("name", "city", "lat", "size")


async def of(staging: ObjectStore, lines: list[bytes]) -> BatchManifest:
    result, _, _ = await processed(staging, USERS, lines)
    return result


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        (b'{"id":1}', ALL),
        (b'{"id":1,"name":"x","adress":{"city":"x"}}', ALL),
        (b'{"id":1,"Name":null}', ("city", "lat", "size")),
        (b'{"id":1,"Name":"x"}', ("city", "lat", "size")),
        (b'{"id":1,"\\u004eame":"x"}', ("city", "lat", "size")),
        (b'{"id":1,"address":null}', ("name", "size")),
        (b'{"id":1,"address" : null}', ("name", "size")),
        (b'{"id":1,"address":{}}', ALL),
        (b'{"id":1,"address":[]}', ALL),
        (b'{"id":1,"address":{"city":null}}', ("name", "lat", "size")),
        (b'{"id":1,"address":{"geo":null}}', ("name", "city", "size")),
        (b'{"id":1,"city":"x","lat":1,"geo":{"lat":1}}', ALL),
        (b'{"id":1,"x":{"Name":"x"}}', ALL),
        ('{"id":1,"größe/cm":null}'.encode(), ("name", "city", "lat")),
        (b'{"id":1,"gr\\u00f6\\u00DFe\\/cm":null}', ("name", "city", "lat")),
        (b'{"id":1,"address":{"geo":{"lat":0}}}', ("name", "city", "size")),
        # Refused records have fields too, and what is not a record has none.
        (b'{"id":"one","Name":null}', ("city", "lat", "size")),
        (b'{"id":1,"Name":5}', ("city", "lat", "size")),
        (b'{"Name":"x"}', ("id", "city", "lat", "size")),
        (b'{"id":1,"Name":' + b"9" * 5000 + b"}", ("city", "lat", "size")),
        (b"{}", ("id", *ALL)),
        (b"null", ()),
        (b'{"id":1', ()),
        (b"[1]", ()),
    ],
)
async def test_a_column_is_absent_if_its_field_is_there_not_even_as_null(
    staging: ObjectStore, line: bytes, columns: tuple[str, ...]
) -> None:
    assert (await of(staging, [line])).absent == columns


async def test_a_batch_without_records_has_no_absent_column(staging: ObjectStore) -> None:
    result = await of(staging, [])
    assert (result.absent, result.unnamed) == ((), ())


async def test_one_record_with_the_field_is_enough_in_whatever_chunk_it_is(
    staging: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_file, "BLOCK_BYTES", 500)
    lines = [json.dumps({"id": n}).encode() for n in range(1000)]
    lines[700] = b'{"id":700,"Name":null}'
    lines[800] = b'{"id":"bad","address":{"city":"x"}}'
    assert (await of(staging, lines)).absent == ("lat", "size")


async def test_the_fields_that_no_column_is_for_are_named_where_a_column_is_absent(
    staging: ObjectStore,
) -> None:
    full = {"id": 1, "Name": "x", "address": {"city": "x", "geo": {"lat": 1}}, "größe/cm": 1}
    more = {"zip": 1, "name": None, "address": {"City": "x", "geo": {"lat": 1}}, "mixed": 1}
    lines = [{"id": 1, **more}, {"id": 2, "mixed": "text", "x" * 250: 1}, {"id": 3, "nul\0": 1}]
    result = await of(staging, [json.dumps(line).encode() for line in lines])
    assert result.absent == ("name", "city", "size")
    assert result.unnamed == ('"nul\\u0000"', "address.City", "mixed", "name", "x" * 200, "zip")
    complete = await processed(staging, a_dataset([{"name": "id", "type": "int64"}], ["id"], "whole"), [
        json.dumps(full).encode()
    ])  # fmt: skip
    assert (complete[0].absent, complete[0].unnamed) == ((), ())


async def test_a_field_with_a_blank_that_no_one_sees_is_named_as_a_file_would_have_it(
    staging: ObjectStore,
) -> None:
    result = await of(staging, ['{"id": 1, "\u200bname": "x", "a": 1}'.encode()])
    assert result.unnamed == ('"\\u200bname"', "a")


async def test_no_more_than_fifty_fields_are_named(staging: ObjectStore) -> None:
    record = {"id": 1, **{f"key{n:04}": n for n in range(400)}}
    result = await of(staging, [json.dumps(record).encode()])
    assert result.unnamed == tuple(f"key{n:04}" for n in range(50))


async def test_fields_are_named_though_one_of_them_changes_its_type(
    staging: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_file, "BLOCK_BYTES", 10_000)
    lines = [json.dumps({"id": n, "x": 1 if n < 500 else "one"}).encode() for n in range(1000)]
    lines.append(b'{"id":1000,"late":1}')
    assert (await of(staging, lines)).unnamed == ("late", "x")


OBJECTS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.just([]) | st.just("text"),
    lambda inner: st.dictionaries(
        st.sampled_from(["Name", "address", "city", "geo", "lat", "größe/cm"]), inner
    ),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.sampled_from(["Name", "address", "größe/cm", "x"]), OBJECTS), max_size=4))
def test_the_shortcuts_find_what_a_look_at_every_record_finds(records: list[dict[str, Any]]) -> None:
    parse_schema = parse_schema_of(USERS)
    watch = Watch(parse_schema, "run-1", "0" * 32)
    for number, record in enumerate(records):
        line = json.dumps({"id": number, **record}, ensure_ascii=number % 2 == 0).encode()
        list(parse_chunk(Chunk(number, 1, line + b"\n"), 0, parse_schema, watch))
    expected = [
        column.name
        for column in USERS.columns
        if column.name != "id" and not any(_has(record, column.path) for record in records)
    ]
    assert list(watch.absent.names()) == (expected if records else [])


def _has(record: Any, path: tuple[str, ...]) -> bool:
    if record is None or not path:
        return True
    return isinstance(record, dict) and path[0] in record and _has(record[path[0]], path[1:])


async def test_columns_with_values_cost_no_second_look(
    staging: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(absent.AbsentFields, "_look", lambda *_: pytest.fail("looked again"))
    dataset = a_dataset([{"name": "id", "type": "int64"}, {"name": "typo", "type": "string"}], key=["id"])
    lines = [json.dumps({"id": n, "typpo": "x"}).encode() for n in range(500)]
    result, _, _ = await processed(staging, dataset, lines)
    assert (result.absent, result.unnamed) == (("typo",), ("typpo",))


async def test_rejected_rows_are_counted_by_reason(staging: ObjectStore, service: ProcessorService) -> None:
    def counted(reason: str) -> float:
        value: float = ROWS_REJECTED.labels("processor", "posts", reason)._value.get()  # noqa: SLF001 - no other way
        return value

    before = {reason: counted(reason) for reason in ("type", "no_key")}
    lines = [b'{"id":1}', b'{"id":"x"}', b"{}", b'{"id":null}', b"null"]
    result = await service.process(await put_crawled(staging, "posts", lines))
    assert result.rejected_by_reason == {"empty": 1, "no_key": 2, "type": 1}
    assert sum(result.rejected_by_reason.values()) == result.counts.rejected
    assert {reason: counted(reason) - before[reason] for reason in before} == {"type": 1, "no_key": 2}
