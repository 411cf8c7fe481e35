"""A dataset with partitions of its own: a file in each folder, through crashes, on a store that speaks S3."""

import hashlib
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.s3sink.adapters import arrange
from shared.datasets.lake import Lake
from shared.datasets.model import Dataset
from shared.events.models import BatchManifest
from shared.reasons import Reason
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.lake_folders import lake_folder
from shared.storage.object_store import open_memory, open_s3
from shared.sweep.rules import LakeKey, lake_key
from tests.support.processed import REQUESTED_AT, a_dataset
from tests.support.sink import Sink

pytestmark = pytest.mark.integration

COUNTRIES = ["de", "at", None, "", "a/b=c%20 ü", ".."]
FOLDERS = {"de", "at", "__HIVE_DEFAULT_PARTITION__", "a%2Fb%3Dc%2520%20%C3%BC", ".."}


def by_country(**lake: Any) -> Dataset:
    dataset = a_dataset({"id": "int64", "country": "string"}, key=["id"], name="posts")
    return dataset.model_copy(update={"lake": Lake(partition_by=("country",), **lake)})


@pytest.fixture
def sink(pool: asyncpg.Pool) -> Sink:
    return Sink(pool, open_memory("staging"), open_memory("lake"), dataset=by_country())


async def assigned(sink: Sink, batches: int = 2) -> list[BatchManifest]:
    """Ids fall, so that no row stays where it came."""
    made = []
    for sequence in range(batches):
        ids = range(100 * sequence + 12, 100 * sequence, -1)
        rows = [{"id": number, "country": COUNTRIES[number % len(COUNTRIES)]} for number in ids]
        made.append(await sink.make_of(rows, sequence))
    for batch in made:
        await sink.deliver(batch)
    await sink.seal(batches)
    return made


async def test_each_row_is_in_the_file_of_its_folder_sorted_by_the_key(sink: Sink) -> None:
    await assigned(sink)
    await sink.drain()
    objects = await sink.objects()
    folders = set()
    for key, table in objects.items():
        found = re.fullmatch(r"posts/part_country=([^/]*)/2026112304-[0-9a-f]{32}\.parquet", key)
        assert found, key
        folders.add(found[1])
        numbers: list[Any] = table["id"].to_pylist()
        assert numbers == sorted(numbers)
        assert lake_key(key) == LakeKey("posts", REQUESTED_AT.replace(minute=0, second=0, microsecond=0))
    assert folders == FOLDERS
    ids: list[Any] = [number for table in objects.values() for number in table["id"].to_pylist()]
    assert sorted(ids) == [*range(1, 13), *range(101, 113)]


async def test_the_result_of_a_batch_names_the_files_that_have_rows_of_it(sink: Sink) -> None:
    rows = [[{"id": 1, "country": "de"}], [{"id": 2, "country": "de"}, {"id": 3, "country": "at"}]]
    for sequence, content in enumerate(rows):
        await sink.deliver(await sink.make_of(content, sequence))
    await sink.seal(2)
    await sink.drain()
    named = {
        sequence: sorted(artifact.uri.split("=")[1].split("/")[0] for artifact in result.artifacts)
        for sequence, result in sink.results().items()
    }
    assert named == {0: ["de"], 1: ["at", "de"]}
    assert Counter(result.counts.accepted for result in sink.results().values()) == {1: 1, 2: 1}


async def test_a_batch_that_comes_again_gets_the_same_result(sink: Sink) -> None:
    made = await assigned(sink)
    await sink.drain()
    first = sink.results()
    for batch in made:
        [again] = await sink.deliver(batch)
        assert again.event == first[batch.sequence]


class CrashedError(BaseException):
    """Stands for kill -9: nothing after it runs, nothing catches it."""


@pytest.mark.parametrize("survived", [0, 1, 3])
async def test_a_crash_between_two_files_leaves_none_twice(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    await assigned(sink)
    left = [survived]

    def reach(name: str) -> None:
        if name == "s3sink.put":
            left[0] -= 1
            if left[0] < 0:
                raise CrashedError

    with monkeypatch.context() as crashing:
        crashing.setattr("shared.crashpoints.reach", reach)
        with pytest.raises(CrashedError):
            await sink.drain()
    before = {key: (await sink.lake.head(key)) for key in await sink.objects()}
    assert len(before) == survived + 1
    await sink.drain()
    objects = await sink.objects()
    assert len(objects) == len(FOLDERS)
    assert set(before) <= set(objects)
    assert sum(table.num_rows for table in objects.values()) == 24


async def test_partitions_that_are_too_fine_are_a_reason_and_the_batch_can_be_redriven(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assigned(sink)
    with monkeypatch.context() as fewer:
        fewer.setattr(arrange, "MAX_FILES", 2)
        await sink.drain()
    results = sink.results()
    assert [results[sequence].status for sequence in range(2)] == ["dead", "dead"]
    assert results[0].reason is Reason.SCHEMA
    assert "coarser" in (results[0].detail or "")
    assert await sink.objects() == {}


async def test_a_sorted_dataset_without_partitions_has_one_file_and_its_order(pool: asyncpg.Pool) -> None:
    dataset = by_country().model_copy(update={"lake": Lake(sort_by=("country", "id"))})
    sink = Sink(pool, open_memory("staging"), open_memory("lake"), dataset=dataset)
    await assigned(sink)
    await sink.drain()
    [table] = (await sink.objects()).values()
    rows = list(zip(table["country"].to_pylist(), table["id"].to_pylist(), strict=True))
    assert rows == sorted(rows, key=lambda row: (row[0] is None, (row[0] or "").encode(), row[1]))


async def test_a_reader_of_hive_folders_finds_the_values_and_each_object_tells_what_it_is(
    pool: asyncpg.Pool, s3_environment: dict[str, str]
) -> None:
    settings = load_settings(ObjectStoreSettings, s3_environment)
    sink = Sink(pool, open_memory("staging"), open_s3(settings, settings.lake_bucket), dataset=by_country())
    await assigned(sink)
    await sink.drain()
    uris = {artifact.uri for result in sink.results().values() for artifact in result.artifacts}
    assert {uri.split("/")[4].removeprefix("part_country=") for uri in uris} == FOLDERS
    client = boto3.client("s3", endpoint_url=s3_environment["ONPOINT_S3_ENDPOINT_URL"])
    for uri in uris:
        _, _, bucket, key = uri.split("/", 3)
        about = client.head_object(Bucket=bucket, Key=key)["Metadata"]
        content = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        assert about == {
            "run-id": "run-1",
            "dataset": "posts",
            "batches": "2",
            "schema-version": "1",
            "rows": str(pq.read_table(io.BytesIO(content)).num_rows),
            "sha256": hashlib.sha256(content).hexdigest(),
        }


def test_duckdb_prunes_by_the_folders(tmp_path: Path) -> None:
    for value in COUNTRIES:
        folder = tmp_path / lake_folder(by_country().lake.partitions, REQUESTED_AT, (value,))
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table({"id": [1]}), folder / "o.parquet")
    with duckdb.connect() as session:
        found = session.execute(
            "SELECT DISTINCT part_country FROM read_parquet(?, hive_partitioning = true)",
            [f"{tmp_path}/*/*.parquet"],
        ).fetchall()
    assert {value for (value,) in found} == {value or None for value in COUNTRIES}
