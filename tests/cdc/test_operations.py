"""What an operator meets on the default settings: the lag, and a slot that fell too far behind."""

import asyncio
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from deploy.local.stack import LocalStack
from tests.support.cdc import Capture

pytestmark = [pytest.mark.cdc, pytest.mark.timeout(420)]

TOPIC = "cdc.public.onpoint_posts"
LIMIT_BYTES = 2 * 2**30
"""`max_slot_wal_keep_size` of the local stack."""
MESSAGE_BYTES = 48 * 2**20


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capture]:
    with LocalStack(tmp_path_factory.mktemp("operations"), services=(), cdc=True) as stack:
        yield Capture(stack)
        stack.down(wipe=True)


def answer(capture: Capture, path: str) -> tuple[int, str]:
    """Of the sink's own port."""
    url = f"http://127.0.0.1:{capture.stack.http_port('s3sink-cdc')}{path}"
    try:
        with urllib.request.urlopen(url, timeout=10) as found:
            return int(found.status), found.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(capture: Capture, name: str) -> float:
    """The one value of a metric, of table onpoint_posts where it has tables."""
    pattern = rf'^{name}(?:\{{table="onpoint_posts"\}})? (\S+)$'
    found = re.search(pattern, answer(capture, "/metrics")[1], re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def ready(capture: Capture) -> tuple[int, str]:
    return await asyncio.to_thread(answer, capture, "/readyz")


async def test_a_change_is_an_object_within_90_s_of_its_commit_at_rest(capture: Capture) -> None:
    await capture.posts(1_000, "run-1")
    await capture.until_changes("onpoint_posts", 1_000)
    committed = time.monotonic()
    await capture.execute("UPDATE onpoint_posts SET title = 'seen' WHERE id = 1")
    await asyncio.sleep(25)
    assert 5 < await asyncio.to_thread(metric, capture, "onpoint_cdc_capture_lag_seconds") < 60
    [posts] = [
        each
        for each in json.loads((await capture.onpoint("cdc", "status", "--json")).out)["tables"]
        if each["topic"] == TOPIC
    ]
    assert posts["lag_s"] > 5
    await capture.until_changes("onpoint_posts", 1_001)
    assert time.monotonic() - committed <= 90
    await asyncio.sleep(1)
    assert await asyncio.to_thread(metric, capture, "onpoint_cdc_capture_lag_seconds") < 30


async def test_the_slot_and_the_full_load_are_metrics(capture: Capture) -> None:
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(metric, capture, "onpoint_cdc_slot_active"):
            await asyncio.sleep(1)
    assert await asyncio.to_thread(metric, capture, "onpoint_cdc_slot_limit_bytes") == LIMIT_BYTES
    kept = await asyncio.to_thread(metric, capture, "onpoint_cdc_slot_kept_bytes")
    assert 0 < kept < LIMIT_BYTES
    assert await asyncio.to_thread(metric, capture, "onpoint_cdc_slot_lost") == 0


async def test_a_slot_that_fell_too_far_behind_is_told_within_a_minute_and_a_new_load_mends_it(
    capture: Capture,
) -> None:
    """PostgreSQL invalidates it at the checkpoint behind its limit: its `wal_status` is `lost`."""
    await capture.posts(1_000, "run-2")
    await capture.until_changes("onpoint_posts", 1_000)
    assert (await ready(capture))[0] == 200
    await asyncio.to_thread(capture.stack.stop, "kafka-connect")
    connection = await capture.connect()
    try:
        await connection.execute("DELETE FROM onpoint_posts WHERE id <= 10")
        written = 0
        while written <= LIMIT_BYTES + 2**28:
            await connection.execute(
                "SELECT pg_logical_emit_message(false, 'filler', repeat('x', $1::int))", MESSAGE_BYTES
            )
            written += MESSAGE_BYTES
        await connection.execute("CHECKPOINT")
        lost_at = time.monotonic()
        state = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'onpoint_cdc'"
        assert await connection.fetchval(state) == "lost"
        while (await ready(capture))[0] == 200:
            await asyncio.sleep(0.5)
        assert time.monotonic() - lost_at < 60
        assert "onpoint cdc resnapshot --all" in (await ready(capture))[1]
        assert await asyncio.to_thread(metric, capture, "onpoint_cdc_slot_lost") == 1
        told = await capture.onpoint("cdc", "status")
        assert told.code == 1
        assert "the replication slot is lost" in told.out
    finally:
        await connection.close()
        await asyncio.to_thread(capture.stack.start, "kafka-connect")
    refused = await capture.onpoint("cdc", "resnapshot", "onpoint_posts")
    assert refused.code == 1
    assert "resnapshot --all" in refused.err
    mended = await capture.onpoint("cdc", "resnapshot", "--all")
    assert mended.code == 0, mended.err
    proof = await capture.verify("onpoint_posts", timeout_s=180)
    assert proof["equal"], proof
    async with asyncio.timeout(30):
        while (await ready(capture))[0] != 200:
            await asyncio.sleep(1)
    assert await asyncio.to_thread(metric, capture, "onpoint_cdc_snapshot_rows") == proof["rows"]
