"""The objects of change capture and of compaction under every fault of S3: what readers get is what was written.

The same calls and faults as in `test_s3_faults.py`, through the code that makes the objects: an outage is met by beginning
again, as the subscription and the schedule do.
"""

import asyncio
import base64
import hashlib
import io
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import boto3
import orjson
import pyarrow.parquet as pq
import pytest

from services.s3sink.cdc.catalog import Catalog
from services.s3sink.cdc.decode import Decoder
from services.s3sink.cdc.repository import CdcRepository
from services.s3sink.cdc.settings import CdcSettings
from services.s3sink.cdc.sink import CdcSink
from shared.bus.batches import RecordBatch
from shared.postgres.pool import open_pool
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.storage import object_store
from shared.storage.errors import StorageUnavailableError
from shared.storage.object_store import ObjectStore, open_s3
from tests.support.lake import Lake
from tests.support.processed import REQUESTED_AT
from tests.support.s3_faults import FAULTS, Call, Fault, S3FaultProxy

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

FAULTS_IN_A_ROW = 5
CALL_TIMEOUT = timedelta(seconds=1.5)
TRIES = 6
WRITES: tuple[Call, ...] = ("Put", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
READS: tuple[Call, ...] = ("Get",)
ROW_BYTES = 64 * 2**10
ROWS = {"Put": 20}
"""Rows that no compression makes much smaller. Above 8 MiB an upload has parts."""
ROWS_OF_PARTS = 240


@dataclass
class Buckets:
    """The buckets of this module as the code reaches them, through the proxy, and as they are."""

    staging: ObjectStore
    broken: ObjectStore
    lake: ObjectStore


@pytest.fixture
async def proxy(s3_environment: dict[str, str]) -> AsyncIterator[S3FaultProxy]:
    async with S3FaultProxy(s3_environment["ONPOINT_S3_ENDPOINT_URL"]) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def names(s3_environment: dict[str, str]) -> tuple[str, str]:
    name = uuid.uuid4().hex[:12]
    client = boto3.client(
        "s3", endpoint_url=s3_environment["ONPOINT_S3_ENDPOINT_URL"], region_name="us-east-1"
    )
    for bucket in (f"staging-{name}", f"lake-{name}"):
        client.create_bucket(Bucket=bucket)
    return f"staging-{name}", f"lake-{name}"


@pytest.fixture
async def buckets(
    proxy: S3FaultProxy,
    s3_environment: dict[str, str],
    names: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Buckets:
    staging, lake = names

    def opened(url: str, bucket: str) -> ObjectStore:
        settings = ObjectStoreSettings(s3_endpoint_url=url, staging_bucket=staging, lake_bucket=lake)
        return open_s3(settings, bucket)

    real = s3_environment["ONPOINT_S3_ENDPOINT_URL"]
    found = Buckets(opened(real, staging), opened(real, lake), opened(real, lake))
    for store in (found.staging, found.lake):
        for key in [info.key async for info in store.list("")]:
            await store.delete(key)
    monkeypatch.setattr(object_store, "CALL_TIMEOUT", CALL_TIMEOUT)
    found.broken = opened(proxy.url, lake)
    return found


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[asyncpg.Pool]:
    settings = PostgresSettings.model_validate({"postgres_dsn": postgres_dsn, "postgres_pool_size": 8})
    async with await open_pool(settings) as pool:
        yield pool


def text(size: int) -> str:
    return base64.b64encode(os.urandom(size)).decode()


async def again_until_done(act: Callable[[], Awaitable[None]]) -> None:
    for _ in range(TRIES):
        with suppress(StorageUnavailableError):
            return await act()
    pytest.fail(f"still unavailable after {TRIES} tries")


def cases(calls: tuple[Call, ...]) -> list[object]:
    return [pytest.param(call, fault, id=f"{call}, {fault}") for call in calls for fault in FAULTS]


@pytest.mark.parametrize(("call", "fault"), cases(WRITES))
async def test_an_object_of_changes_is_whole_once_and_has_its_rows(
    call: Call, fault: Fault, pool: asyncpg.Pool, buckets: Buckets, proxy: S3FaultProxy, tmp_path: Path
) -> None:
    topic = "cdc.public.pets"
    await pool.execute("CREATE TABLE pets (id bigint PRIMARY KEY, name text)")
    texts = [text(ROW_BYTES) for _ in range(ROWS.get(call, ROWS_OF_PARTS))]
    values = [
        orjson.dumps(
            {
                "op": "c",
                "before": None,
                "after": {"id": at, "name": name},
                "source": {"ts_ms": 1, "lsn": at, "txId": at},
            }
        )
        for at, name in enumerate(texts)
    ]
    sink = CdcSink(
        CdcRepository(pool),
        Catalog(pool),
        Decoder(),
        buckets.broken,
        CdcSettings(cdc_max_age_s=1),
        tmp_path,
        lambda *_: None,
    )

    async def act() -> None:
        first = await sink.begin(topic, 0, 0, len(values))
        if first < len(values):
            await sink.handle(
                RecordBatch(topic, 0, range(first, len(values)), [1] * (len(values) - first), values[first:])
            )
        durable = await pool.fetchval("SELECT next_offset FROM onpoint_lake.cdc_tables")
        while durable < len(values):
            await asyncio.sleep(0.1)
            durable = await sink.tick(topic, 0, len(values)) or 0

    proxy.fail(call, fault, FAULTS_IN_A_ROW)
    await again_until_done(act)

    assert proxy.broken
    [key] = [each.key async for each in buckets.lake.list("cdc/")]
    body = await buckets.lake.get(key)
    assert body is not None
    assert pq.read_table(io.BytesIO(body))["name"].to_pylist() == texts
    [row] = await pool.fetch(
        "SELECT key, rows, bytes, sha256, first_offset, last_offset FROM onpoint_lake.cdc_objects"
    )
    assert tuple(row) == (
        key,
        len(texts),
        len(body),
        hashlib.sha256(body).hexdigest(),
        0,
        len(texts) - 1,
    )
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - it is empty


@pytest.mark.parametrize(("call", "fault"), cases(READS + WRITES))
async def test_a_compaction_leaves_every_reader_the_same_rows(
    call: Call, fault: Fault, pool: asyncpg.Pool, buckets: Buckets, proxy: S3FaultProxy
) -> None:
    """Wrong bytes with a good status are read again, or the sources stay as they are and the next call takes them."""
    lake = Lake(pool, buckets.staging, buckets.lake, target_bytes=64 * 2**20)
    size = ROW_BYTES if call in {"Get", "Put"} else 16 * ROW_BYTES
    for number in range(3):
        rows = [{"id": 5 * number + place, "title": text(size)} for place in range(5)]
        await lake.run(f"run-{number}", rows, requested_at=REQUESTED_AT + timedelta(seconds=number))
    before = await lake.read_runs()
    broken = Lake(pool, buckets.staging, buckets.broken, target_bytes=lake.target_bytes)

    async def act() -> None:
        await broken.compact()
        if not {"committed", "listed"} & set(await lake.states()):
            raise StorageUnavailableError("it is left to the next call")

    proxy.fail(call, fault, 1 if (call, fault) == ("Get", "200 with an error") else FAULTS_IN_A_ROW)
    await again_until_done(act)
    await lake.catch_up()

    assert proxy.broken
    assert await lake.states() == ["listed"]
    assert (await lake.read_runs()).equals(before)
    assert (await lake.read_dataset()).equals(before)
    [row] = await pool.fetch("SELECT uri, rows, bytes, sha256 FROM onpoint_lake.compactions")
    body = await buckets.lake.get(buckets.lake.key(row["uri"], "posts/"))
    assert body is not None
    assert (row["rows"], row["bytes"], row["sha256"]) == (15, len(body), hashlib.sha256(body).hexdigest())
    assert len(await lake.objects()) == 4
