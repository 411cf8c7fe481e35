"""Rows that are too wide for PostgreSQL. tests/integration/processor/test_room.py compares with a real server."""

import json

import pyarrow as pa
import pytest

from services.processor.domain import room
from services.processor.domain.parse_schema import parse_schema_of
from services.processor.domain.room import RowRoom
from services.processor.service import ProcessorService
from shared.datasets.arrow import data_schema
from shared.datasets.catalog import load_catalog
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore
from tests.support.crawled import a_dataset, put_crawled
from tests.support.datasets import datasets_of
from tests.unit.processor.test_odd_records import processed

SURVEY = a_dataset(
    [{"name": "id", "type": "int64"}, *({"name": f"c{n}", "type": "string"} for n in range(600))], key=["id"]
)


def an_answer(number: int, columns: int, text: str = "x" * 30) -> bytes:
    return json.dumps({"id": number, **{f"c{n}": text for n in range(columns)}}).encode()


async def test_one_wide_row_costs_itself(staging: ObjectStore) -> None:
    """600 columns: a thousand rows fill five of them, one fills all."""
    wide = json.dumps(
        {"id": 0, **{f"c{n}": f"some text {n} of a survey answer" for n in range(600)}}
    ).encode()
    lines = [*(an_answer(number, 5) for number in range(1, 1001)), wide]
    result, rows, [line] = await processed(staging, SURVEY, lines)
    assert (result.counts.accepted, result.counts.rejected, len(rows)) == (1000, 1, 1000)
    assert (line["reason"], line["source_position"]) == ("too_large", 1000)
    assert line["detail"] == "its 601 filled columns take 10880 bytes in PostgreSQL, a row holds 8160"
    assert json.loads(line["raw"]) == json.loads(wide)


@pytest.mark.parametrize("neighbour", [an_answer(3, 1), b"null", b'{"id":3.0}'])
async def test_a_wide_row_costs_itself_whatever_its_neighbours_are(
    staging: ObjectStore, neighbour: bytes
) -> None:
    lines = [an_answer(1, 600), an_answer(2, 400), neighbour, an_answer(4, 600), an_answer(5, 440)]
    _, rows, quarantine = await processed(staging, SURVEY, lines)
    assert [row["id"] for row in rows if row["id"] != 3] == [2, 5]
    wide = [line for line in quarantine if line["reason"] == "too_large"]
    assert [line["source_position"] for line in wide] == [0, 3]
    assert [json.loads(line["raw"])["id"] for line in wide] == [1, 4]


async def test_every_row_may_be_too_wide(staging: ObjectStore) -> None:
    result, rows, quarantine = await processed(
        staging, SURVEY, [an_answer(number, 600) for number in range(300)]
    )
    assert (rows, result.counts.rejected, len(quarantine)) == ([], 300, 300)


async def test_a_wide_row_does_not_replace_one_with_its_key(staging: ObjectStore) -> None:
    _, rows, _ = await processed(staging, SURVEY, [an_answer(1, 2), an_answer(1, 600)])
    assert [(row["id"], row["c1"]) for row in rows] == [(1, "x" * 30)]


async def test_a_fill_value_takes_room_too(staging: ObjectStore) -> None:
    filled = a_dataset(
        [
            {"name": "id", "type": "int64"},
            *({"name": f"c{n}", "type": "string", "fill": "not answered by this one"} for n in range(600)),
        ],
        key=["id"],
    )
    _, rows, [line] = await processed(staging, filled, [b'{"id":1}'])
    assert (rows, line["reason"]) == ([], "too_large")


async def test_numbers_and_texts_that_fill_a_row_together_are_too_many(staging: ObjectStore) -> None:
    sensors = a_dataset(
        [
            {"name": "id", "type": "int64"},
            *({"name": f"s{n}", "type": "float64"} for n in range(700)),
            *({"name": f"t{n}", "type": "string"} for n in range(200)),
        ],
        key=["id"],
    )
    numbers = {f"s{m}": m / 8 for m in range(700)}
    lines = [
        json.dumps({"id": n, **numbers, **{f"t{m}": "x" * n for m in range(200)}}).encode() for n in (1, 30)
    ]
    _, rows, [line] = await processed(staging, sensors, lines)
    assert [row["id"] for row in rows] == [1]
    assert (line["source_position"], line["reason"]) == (1, "too_large")


def test_columns_that_cannot_exceed_a_row_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.RowRoom, "_sizes", lambda *_: pytest.fail("looked at"))
    for dataset in load_catalog(environment={}).values():
        schema = data_schema(dataset)
        row = {
            name: "x" * 10**6 if pa.types.is_string(schema.field(name).type) else None
            for name in schema.names
        }
        batch = pa.RecordBatch.from_pylist([row], schema=pa.schema([(f.name, f.type) for f in schema]))
        assert RowRoom(parse_schema_of(dataset).targets, "r" * 128, "0" * 32).too_wide(batch) == []


async def test_the_predicted_size_includes_the_run_s_own_name(staging: ObjectStore) -> None:
    """One more byte of it makes a row too wide that just fitted."""
    verdicts = []
    for run_id in ("r", "rr"):
        text = json.dumps({"id": 1, **{f"c{n}": "x" * 17 for n in range(444)}, "c500": "x" * 11}).encode()
        service = ProcessorService(Batches(staging, "processor"), datasets_of({"things": SURVEY}))
        result = await service.process(await put_crawled(staging, "things", [text], run_id=run_id))
        verdicts.append(result.counts.rejected)
    assert verdicts == [0, 1]
