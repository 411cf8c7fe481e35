"""Records as real sources write them, through the whole processor."""

import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from services.processor.service import ProcessorService
from shared.datasets.model import Dataset
from shared.events.models import BatchManifest
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore
from tests.support.crawled import a_dataset, put_crawled
from tests.support.datasets import datasets_of

Processed = tuple[BatchManifest, list[dict[str, Any]], list[dict[str, Any]]]


async def processed(staging: ObjectStore, dataset: Dataset, lines: list[bytes]) -> Processed:
    """The manifest, the rows without their lineage, and the quarantine."""
    service = ProcessorService(Batches(staging, "processor"), datasets_of({dataset.name: dataset}))
    result = await service.process(await put_crawled(staging, dataset.name, lines))
    files = [await staging.get(staging.key(artifact.uri, "")) or b"" for artifact in result.artifacts]
    rows = pq.read_table(io.BytesIO(files[0])).select([column.name for column in dataset.columns])
    quarantine = b"".join(zstandard.ZstdDecompressor().stream_reader(file).read() for file in files[1:])
    return result, rows.to_pylist(), [json.loads(line) for line in quarantine.splitlines()]


async def test_doubles_as_javascript_prints_them_are_taken(staging: ObjectStore) -> None:
    dataset = a_dataset([{"name": "id", "type": "int64"}, {"name": "f", "type": "float64"}], key=["id"])
    lines = [
        b'{"id":1,"f":0.5}',
        b'{"id":2,"f":123456789012345680000}',
        b'{"id":3,"f":1234567890123456800}',
        b'{"id":4,"f":9007199254740994}',
        b'{"id":5,"f":100000000000000000000}',
        b'{"id":6,"f":1.2345678901234568e20}',
        b'{"id":7,"f":9007199254740993.5}',
    ]
    result, rows, _ = await processed(staging, dataset, lines)
    assert (result.counts.accepted, result.counts.rejected) == (7, 0)
    assert [row["f"] for row in rows] == [
        0.5, 123456789012345683968.0, 1234567890123456768.0, 9007199254740994.0, 1e20, 123456789012345683968.0,
        9007199254740994.0,
    ]  # fmt: skip


async def test_whole_numbers_that_a_spreadsheet_wrote_as_floats_are_whole_numbers(
    staging: ObjectStore,
) -> None:
    dataset = a_dataset([{"name": "id", "type": "int64"}, {"name": "n", "type": "int64"}], key=["id"])
    lines = [
        b'{"id":1.0,"n":1e3}',
        b'{"id":2.0,"n":9007199254740993.0}',
        b'{"id":20e-1,"n":12.50e1}',  # the same key: the later one stays
        b'{"id":3,"n":1.25}',
        b'{"id":4,"n":1e19}',
    ]
    result, rows, quarantine = await processed(staging, dataset, lines)
    assert rows == [{"id": 1, "n": 1000}, {"id": 2, "n": 125}]
    assert result.counts.deduplicated == 1
    assert [(line["reason"], line["detail"]) for line in quarantine] == [
        ("type", "n: 1.25 is not a whole number; `inexact: round` in the column's file would round it"),
        ("range", "n: 1e19 is beyond int64"),
    ]


async def test_a_column_may_round_fractions_or_refuse_inexact_integers(staging: ObjectStore) -> None:
    dataset = a_dataset(
        [
            {"name": "id", "type": "int64"},
            {"name": "cents", "type": "int64", "inexact": "round"},
            {"name": "snowflake", "type": "float64", "inexact": "refuse"},
        ],
        key=["id"],
    )
    lines = [
        b'{"id":1,"cents":2.5,"snowflake":0.1}',
        b'{"id":2,"cents":3.5,"snowflake":9007199254740992}',
        b'{"id":3,"cents":0,"snowflake":9007199254740993.0}',
        b'{"id":4,"cents":0,"snowflake":9007199254740993}',
    ]
    _, rows, quarantine = await processed(staging, dataset, lines)
    assert [row["cents"] for row in rows] == [2, 4]
    assert [line["reason"] for line in quarantine] == ["range", "range"]
    assert "9007199254740993.0 is not exactly a float64" in quarantine[0]["detail"]


async def test_an_absurd_exponent_costs_its_row(staging: ObjectStore) -> None:
    dataset = a_dataset([{"name": "id", "type": "int64"}, {"name": "f", "type": "float64"}], key=["id"])
    lines = [
        b'{"id":1e999999999}',
        b'{"id":1,"f":1e999999999}',
        b'{"id":2,"f":' + b"9" * 10**6 + b"}",
        b'{"id":3,"f":1e-999999999}',
        b'{"id":4}',
    ]
    _, rows, quarantine = await processed(staging, dataset, lines)
    assert rows == [{"id": 3, "f": 0.0}, {"id": 4, "f": None}]
    assert [line["reason"] for line in quarantine] == ["range"] * 3
    assert max(len(line["detail"]) for line in quarantine) < 100


USERS = a_dataset(
    [
        {"name": "id", "type": "int64"},
        {"name": "city", "from": "address.city", "type": "string"},
        {"name": "lat", "from": "address.geo.lat", "type": "float64", "fill": 1.5},
        {"name": "tag", "type": "string"},
    ],
    key=["id"],
)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (b'{"id":1,"address":[]}', {"id": 1, "city": None, "lat": 1.5, "tag": None}),
        (b'{"id":1,"address":[ ],"tag":"x"}', {"id": 1, "city": None, "lat": 1.5, "tag": "x"}),
        (b'{"id":1,"address":{}}', {"id": 1, "city": None, "lat": 1.5, "tag": None}),
        (b'{"id":1,"address":{"city":"Bern","geo":[]}}', {"id": 1, "city": "Bern", "lat": 1.5, "tag": None}),
        (b'{"id":1,"address":[{"city":"Bern"}]}', "address: an array where an object is expected"),
        (b'{"id":1,"address":[[]]}', "address: an array where an object is expected"),
        (b'{"id":1,"address":""}', "address: a text where an object is expected"),
        (b'{"id":1,"address":{"city":[]}}', "city: an array where string is expected"),
        (b'{"id":1,"tag":{}}', "tag: an object where string is expected"),
        (b'{"id":1,"address":{"geo":[0]}}', "address.geo: an array where an object is expected"),
        (b"[]", "an array where an object is expected"),
    ],
)
async def test_an_empty_array_is_the_empty_object_that_php_means(
    staging: ObjectStore, line: bytes, row: dict[str, Any] | str
) -> None:
    result, rows, quarantine = await processed(staging, USERS, [line])
    if isinstance(row, str):
        assert (rows, [(line["reason"], line["detail"]) for line in quarantine]) == ([], [("type", row)])
    else:
        assert (rows, result.counts.rejected) == ([row], 0)


async def test_a_key_in_an_empty_array_is_missing(staging: ObjectStore) -> None:
    dataset = a_dataset([{"name": "id", "from": "meta.id", "type": "int64"}], key=["id"])
    _, _, quarantine = await processed(staging, dataset, [b'{"meta":[]}'])
    assert [line["reason"] for line in quarantine] == ["no_key"]


async def test_a_bad_escape_costs_one_record(staging: ObjectStore) -> None:
    """A quote escaped by hand, as if JSON had it."""
    dataset = a_dataset([{"name": "id", "type": "int64"}, {"name": "name", "type": "string"}], key=["id"])
    lines = [b'{"id": %d, "name": "n%d"}' % (n, n) for n in range(1, 101)]
    lines[49] = b'{"id": 50, "name": "it\\\'s"}'
    result, _, [line] = await processed(staging, dataset, lines)
    assert (result.counts.accepted, result.counts.rejected) == (99, 1)
    assert (line["reason"], line["raw"]) == ("decode", '{"id": 50, "name": "it\\\'s"}')
