"""Objects of a dataset with a table format: each is one commit, through crashes, doubles, zombies and outages."""

import asyncio
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import boto3
import pytest
from deltalake import DeltaTable

from shared.lake.tables.errors import TableUnavailableError
from shared.lake.tables.open import LakeTables
from shared.lake.tables.port import TableFile
from shared.lake.tables.settings import TableSettings
from shared.reasons import Reason
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import open_s3
from tests.support.processed import PRODUCED_AT
from tests.support.sink import Sink
from tests.support.tables import FORMATS, ROWS, TYPES, TableReader, posts

pytestmark = [pytest.mark.integration, pytest.mark.long]

POINTS = ("assigned", "put", "written", "tabled", "announced")


PATIENCE_S = 60


class CrashedError(BaseException):
    """Stands for kill -9: nothing after it runs, nothing catches it."""


@pytest.fixture(scope="module")
def storage(s3_environment: dict[str, str]) -> ObjectStoreSettings:
    name = uuid.uuid4().hex[:12]
    settings = ObjectStoreSettings(
        s3_endpoint_url=s3_environment["ONPOINT_S3_ENDPOINT_URL"],
        staging_bucket=f"staging-{name}",
        lake_bucket=f"lake-{name}",
    )
    client = boto3.client("s3", endpoint_url=settings.s3_endpoint_url, region_name="us-east-1")
    for bucket in (settings.staging_bucket, settings.lake_bucket):
        client.create_bucket(Bucket=bucket)
    return settings


@pytest.fixture
async def reader(storage: ObjectStoreSettings, postgres_dsn: str) -> TableReader:
    lake = open_s3(storage, storage.lake_bucket)
    for key in [info.key async for info in lake.list("")]:
        await lake.delete(key)
    return TableReader(storage, lake, postgres_dsn)


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def sink(pool: asyncpg.Pool, reader: TableReader, kind: str) -> Sink:
    staging = open_s3(reader.storage, reader.storage.staging_bucket)
    for key in [info.key async for info in staging.list("")]:
        await staging.delete(key)
    return Sink(pool, staging, reader.lake, dataset=posts(kind), tables=reader.tables)


@pytest.fixture
def other(sink: Sink, reader: TableReader) -> Sink:
    """A second replica."""
    return Sink(sink.pool, sink.staging, sink.lake, sink.limits, dataset=sink.dataset, tables=reader.tables)


def crash_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    def reach(name: str) -> None:
        if name == f"s3sink.{point}":
            raise CrashedError

    monkeypatch.setattr("shared.crashpoints.reach", reach)


async def store(sink: Sink, run_id: str = "run-1", batches: int = 2, first: int = 0) -> None:
    for sequence in range(batches):
        await sink.deliver(await sink.make(10, first + sequence, run_id=run_id))
    await sink.seal(batches, run_id=run_id)
    async with asyncio.timeout(PATIENCE_S):
        await sink.drain()


@contextmanager
def stale(kind: str, table: Any) -> Iterator[None]:
    """What the table opens is as it was one commit ago."""
    newest = table._open()  # noqa: SLF001 - the moment between its look and its commit
    if kind == "delta":
        before: Any = DeltaTable(
            newest.table_uri,
            version=newest.version() - 1,
            storage_options=table._options,  # noqa: SLF001
        )
    else:
        before = newest
        parent = newest.metadata.snapshots[0]
        before.metadata = newest.metadata.model_copy(
            update={
                "snapshots": [parent],
                "current_snapshot_id": parent.snapshot_id,
                "refs": {
                    "main": newest.metadata.refs["main"].model_copy(
                        update={"snapshot_id": parent.snapshot_id}
                    )
                },
            }
        )
    own = type(table)._open  # noqa: SLF001
    table._open = lambda: before  # noqa: SLF001
    try:
        yield
    finally:
        table._open = own.__get__(table)  # noqa: SLF001


IDS = [*range(10), *range(1000, 1010)]


def assert_read(reader: TableReader, kind: str, ids: list[int]) -> None:
    """By both programs, every row once."""
    assert sorted(reader.by_polars(kind, "posts")["id"].to_list()) == ids
    assert reader.by_duckdb(kind, "posts", "SELECT id FROM rows ORDER BY id") == [(one,) for one in ids]


async def test_an_object_is_a_commit_and_its_file_is_where_it_is_without_a_table(
    sink: Sink, reader: TableReader, kind: str
) -> None:
    await store(sink)
    assert_read(reader, kind, IDS)
    assert reader.commits(kind, "posts") == 1
    [artifact] = sink.results()[0].artifacts
    state = await asyncio.to_thread(lambda: reader.tables.of(posts(kind)).state())  # type: ignore[union-attr]
    assert state is not None
    assert state.files == {artifact.uri}
    assert artifact.uri.startswith(sink.lake.uri("posts/year=2026/month=11/day=23/hour=04/"))


@pytest.mark.parametrize("point", POINTS)
async def test_after_a_crash_at_any_point_the_object_is_in_the_table_once(
    sink: Sink, other: Sink, reader: TableReader, kind: str, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    crash_at(monkeypatch, point)
    with pytest.raises(CrashedError):
        await store(sink)
    monkeypatch.undo()
    await store(other)
    assert_read(reader, kind, IDS)
    assert reader.commits(kind, "posts") == 1
    assert await other.states() == ["announced"]


async def test_an_event_that_comes_twice_is_one_commit(sink: Sink, reader: TableReader, kind: str) -> None:
    await store(sink)
    await store(sink)
    assert_read(reader, kind, IDS)
    assert reader.commits(kind, "posts") == 1


async def test_two_replicas_at_once_commit_every_object_once(
    sink: Sink, other: Sink, reader: TableReader, kind: str
) -> None:
    for number in range(6):
        await sink.deliver(await sink.make(10, number, run_id=f"run-{number}"))
        await sink.seal(1, run_id=f"run-{number}")
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(sink.drain(), other.drain())
        await sink.drain()
    assert_read(reader, kind, [1000 * number + place for number in range(6) for place in range(10)])
    assert reader.commits(kind, "posts") == 6
    assert len(sink.results()) > 0
    assert len(other.results()) > 0


async def test_a_replica_that_was_paused_before_its_commit_does_not_commit_a_second_time(
    sink: Sink, reader: TableReader, kind: str
) -> None:
    """It looked for the marker, slept, and another one committed meanwhile."""
    await store(sink)
    table, zombie = reader.tables.of(sink.dataset), reader.tables.of(sink.dataset)
    assert table is not None
    assert zombie is not None
    await store(sink, "run-2", batches=1, first=7)
    [name] = await sink.pool.fetchval(
        "SELECT array_agg(object_name) FROM onpoint_lake.objects WHERE run_id = 'run-2'"
    )
    [artifact] = sink.results()[7].artifacts
    files = [TableFile(artifact.uri, artifact.rows, artifact.bytes)]
    with stale(kind, zombie), pytest.raises(TableUnavailableError):
        await asyncio.to_thread(zombie.append, name, files, PRODUCED_AT, fresh_until_s=math.inf)
    await asyncio.to_thread(zombie.append, name, files, PRODUCED_AT, fresh_until_s=math.inf)
    assert reader.commits(kind, "posts") == 2
    assert_read(reader, kind, [*IDS, *range(7000, 7010)])


async def test_while_the_store_is_away_before_the_commit_the_object_waits(
    sink: Sink, other: Sink, reader: TableReader, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_at(monkeypatch, "written")
    with pytest.raises(CrashedError):
        await store(sink)
    monkeypatch.undo()
    away = reader.storage.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    other.tables = LakeTables(away, other.lake, TableSettings(), reader.postgres_dsn)
    other.rebuild()
    assert await other.loop.turn()
    assert await other.states() == ["written"]
    assert other.published == []
    await sink.drain()
    assert_read(reader, kind, IDS)
    assert reader.commits(kind, "posts") == 1


async def test_before_an_object_is_written_a_table_that_is_away_is_waited_for(
    sink: Sink, reader: TableReader, kind: str
) -> None:
    away = reader.storage.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    sink.tables = LakeTables(away, sink.lake, TableSettings(), reader.postgres_dsn)
    sink.rebuild()
    await sink.deliver(await sink.make(10))
    await sink.seal(1)
    assert await sink.loop.turn()
    assert await sink.states() == ["assigned"]
    sink.tables = reader.tables
    sink.rebuild()
    await sink.drain()
    assert_read(reader, kind, list(range(10)))


async def test_columns_that_a_later_version_adds_are_null_in_earlier_rows(
    sink: Sink, reader: TableReader, kind: str
) -> None:
    await store(sink)
    sink.dataset = posts(kind, {"id": "int64", "title": "string", "votes": "int32", "tags": "list<string>"})
    sink.rebuild()
    row = {"id": 5000, "title": "new", "votes": 7, "tags": ["a", None]}
    await sink.deliver(await sink.make_of([row], 5, run_id="run-2"))
    await sink.seal(1, run_id="run-2")
    await sink.drain()
    assert_read(reader, kind, [*IDS, 5000])
    found = reader.by_polars(kind, "posts").sort("id")
    assert found["votes"].to_list() == [None] * 20 + [7]
    assert found["tags"].to_list()[-1] == ["a", None]


async def test_a_whole_number_that_becomes_wider_is_no_change_of_the_table(
    sink: Sink, reader: TableReader, kind: str
) -> None:
    sink.dataset = posts(kind, {"id": "int8", "title": "string"})
    sink.rebuild()
    await sink.deliver(await sink.make_of([{"id": -128, "title": "least"}]))
    await sink.seal(1)
    await sink.drain()
    sink.dataset = posts(kind)
    sink.rebuild()
    await sink.deliver(await sink.make_of([{"id": 2**63 - 1, "title": "most"}], 1, run_id="run-2"))
    await sink.seal(1, run_id="run-2")
    await sink.drain()
    assert_read(reader, kind, [-128, 2**63 - 1])


async def test_a_column_of_another_type_in_the_table_ends_its_batches_with_a_sentence(
    sink: Sink, reader: TableReader, kind: str
) -> None:
    await store(sink)
    sink.dataset = posts(kind, {"id": "int64", "title": "int64"})
    sink.rebuild()
    await sink.deliver(await sink.make_of([{"id": 1, "title": 2}], 3, run_id="run-2"))
    await sink.seal(1, run_id="run-2")
    await sink.drain()
    result = sink.results()[3]
    assert (result.status, result.reason) == ("dead", Reason.SCHEMA)
    assert result.detail is not None
    assert "column title is string in the table and " in result.detail
    assert "give the column another name" in result.detail
    assert_read(reader, kind, IDS)


async def test_every_type_is_read_as_it_was_written(sink: Sink, reader: TableReader, kind: str) -> None:
    sink.dataset = posts(kind, TYPES)
    sink.rebuild()
    await sink.deliver(await sink.make_of(ROWS))
    await sink.seal(1)
    await sink.drain()
    found = reader.by_polars(kind, "posts").sort("id").select(list(TYPES)).to_dicts()
    assert found == ROWS
    columns = ", ".join(TYPES)
    by_duckdb = reader.by_duckdb(kind, "posts", f"SELECT {columns} FROM rows ORDER BY id")
    assert [dict(zip(TYPES, row, strict=True)) for row in by_duckdb] == ROWS


async def test_folders_of_a_datasets_own_partitions_are_files_of_one_commit(
    sink: Sink, reader: TableReader, kind: str
) -> None:
    lake = sink.dataset.lake.model_copy(update={"partition_by": ("title",)})
    sink.dataset = sink.dataset.model_copy(update={"lake": lake})
    sink.rebuild()
    titles = ["a", "", None, "x/y z", "100 %", "ü=?#"]
    await sink.deliver(await sink.make_of([{"id": n, "title": one} for n, one in enumerate(titles)]))
    await sink.seal(1)
    await sink.drain()
    assert reader.commits(kind, "posts") == 1
    assert reader.by_polars(kind, "posts").sort("id")["title"].to_list() == titles
    assert reader.by_duckdb(kind, "posts", "SELECT id FROM rows WHERE title IS NULL") == [(2,)]
    assert reader.by_duckdb(kind, "posts", "SELECT id FROM rows WHERE title = ''") == [(1,)]


async def test_the_tables_own_files_have_no_credentials(sink: Sink, reader: TableReader) -> None:
    await store(sink)
    secrets = [os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_ACCESS_KEY_ID"]]
    secrets.append(urlsplit(reader.postgres_dsn).password or "")
    assert all(secrets)
    own = [info.key async for info in sink.lake.list("posts/") if not info.key.endswith(".parquet")]
    assert own
    for key in own:
        content = await sink.lake.get(key)
        assert content is not None
        assert not [secret for secret in secrets if secret.encode() in content]


async def test_no_commit_is_written_over(reader: TableReader, sink: Sink) -> None:
    """Sixteen at once, without the lock: each is in the table, or was refused."""
    await store(sink, batches=1)
    results = sink.results()[0]
    [artifact] = results.artifacts
    content = await sink.lake.get(sink.lake.key(artifact.uri, ""))
    assert content is not None
    uris = [sink.lake.uri(f"posts/copy-{number}.parquet") for number in range(16)]
    for uri in uris:
        await sink.lake.put(sink.lake.key(uri, ""), content)

    async def append(uri: str) -> str | None:
        table = reader.tables.of(sink.dataset)
        assert table is not None
        try:
            file = TableFile(uri, artifact.rows, artifact.bytes)
            await asyncio.to_thread(table.append, uri, [file], PRODUCED_AT, fresh_until_s=math.inf)
        except TableUnavailableError:
            return None
        return uri

    accepted = {uri for uri in await asyncio.gather(*map(append, uris)) if uri is not None}
    assert accepted
    table = reader.tables.of(sink.dataset)
    assert table is not None
    state = await asyncio.to_thread(table.state)
    assert state is not None
    assert state.files == accepted | {artifact.uri}
