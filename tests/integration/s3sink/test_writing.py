"""From an assignment to a published object: through crashes, zombies, outages and bad artifacts."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, OutOfOrderSequenceNumber

from services.s3sink.adapters import claim as claim_module
from services.s3sink.adapters.claim import Claim
from shared.bus.messages import Outgoing
from shared.events import topics
from shared.events.models import BatchManifest, Counts
from shared.reasons import Reason
from shared.storage.errors import StorageUnavailableError
from tests.support.processed import REQUESTED_AT
from tests.support.sink import Sink

pytestmark = pytest.mark.integration


class CrashedError(BaseException):
    """Stands for kill -9: nothing after it runs, nothing catches it."""


async def assigned(sink: Sink, batches: int = 2, rows: int = 10) -> list[BatchManifest]:
    made = [await sink.make(rows, sequence) for sequence in range(batches)]
    for batch in made:
        await sink.deliver(batch)
    await sink.seal(batches)
    return made


def crash_at(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    def reach(name: str) -> None:
        if name == point:
            raise CrashedError

    monkeypatch.setattr("shared.crashpoints.reach", reach)


async def test_an_object_is_at_the_hour_of_its_run_and_the_result_of_each_batch_is_published(
    sink: Sink,
) -> None:
    made = await assigned(sink)
    await sink.drain()
    [(key, table)] = (await sink.objects()).items()
    assert re.fullmatch(r"posts/year=2026/month=11/day=23/hour=04/[0-9a-f]{32}\.parquet", key)
    assert table.column("id").to_pylist() == [*range(10), *range(1000, 1010)]
    info = await sink.lake.head(key)
    results = sink.results()
    for batch in made:
        result = results[batch.sequence]
        assert (result.stage, result.requested_at, result.counts) == (
            "s3sink",
            REQUESTED_AT,
            Counts(read=10, accepted=10),
        )
        [artifact] = result.artifacts
        assert (artifact.uri, artifact.format, artifact.rows) == (sink.lake.uri(key), "parquet", 20)
        assert info is not None
        assert artifact.bytes == info.bytes
    assert await sink.states() == ["announced"]


@pytest.mark.parametrize("point", ["s3sink.assigned", "s3sink.put", "s3sink.written", "s3sink.announced"])
async def test_a_crash_at_any_point_leaves_one_object_and_every_result_published(
    sink: Sink, other: Sink, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    crash_at(monkeypatch, point)

    async def live() -> None:
        await assigned(sink)
        await sink.drain()

    with pytest.raises(CrashedError):
        await live()
    monkeypatch.undo()
    before = await sink.objects()
    await other.drain()
    after = await other.objects()
    assert len(after) == 1
    assert all(after[key].equals(table) for key, table in before.items())
    assert sorted({**sink.results(), **other.results()}) == [0, 1]
    assert await other.states() == ["announced"]


async def test_after_a_crash_while_publishing_results_are_published_again(sink: Sink, other: Sink) -> None:
    await assigned(sink)

    async def die(outgoing: Sequence[Outgoing]) -> None:
        sink.published.extend(outgoing[:1])
        raise CrashedError

    sink.rebuild(publish=die)
    with pytest.raises(CrashedError):
        await sink.drain()
    assert await sink.states() == ["written"]
    await other.drain()
    assert sorted(other.results()) == [0, 1]
    assert other.results()[0] == sink.results()[0]


async def test_the_same_assignment_gives_the_same_bytes(sink: Sink) -> None:
    await assigned(sink, rows=500)
    await sink.drain()
    [key] = await sink.objects()
    first = await sink.lake.get(key)
    await sink.lake.delete(key)
    await sink.pool.execute("UPDATE onpoint_lake.objects SET state = 'assigned'")
    await sink.drain()
    assert await sink.lake.get(key) == first


async def test_two_replicas_share_the_objects(sink: Sink, other: Sink) -> None:
    for number in range(6):
        run_id = f"run-{number}"
        await sink.deliver(await sink.make(10, run_id=run_id))
        await sink.seal(1, run_id=run_id)
    await asyncio.gather(sink.drain(), other.drain())
    assert len(sink.published) + len(other.published) == 6
    assert sink.published
    assert other.published


async def test_an_object_that_a_paused_replica_claimed_is_claimed_by_another(
    sink: Sink, other: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assigned(sink)
    paused, go_on = asyncio.Event(), asyncio.Event()
    put = sink.lake.put

    async def pausing(key: str, data: Any, metadata: Any) -> None:
        paused.set()
        await go_on.wait()
        await put(key, data, metadata)

    monkeypatch.setattr(sink.lake, "put", pausing)
    zombie = asyncio.create_task(sink.loop.turn())
    await paused.wait()
    monkeypatch.undo()
    assert not await other.loop.turn()
    monkeypatch.setattr(claim_module, "STALE_AFTER_S", 0.05)
    await asyncio.sleep(0.1)
    assert await other.loop.turn()
    go_on.set()
    await zombie
    assert sorted(other.results()) == [0, 1]
    assert sink.published == []
    assert len(await sink.objects()) == 1


async def test_an_object_whose_write_is_slow_is_written_once(
    sink: Sink, other: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assigned(sink)
    monkeypatch.setattr(claim_module, "STALE_AFTER_S", 1.0)
    monkeypatch.setattr(claim_module, "RENEW_EVERY_S", 0.2)
    started, keys, put = asyncio.Event(), [], sink.lake.put

    async def slow(key: str, data: Any, metadata: Any) -> None:
        keys.append(key)
        started.set()
        await asyncio.sleep(3)
        await put(key, data, metadata)

    monkeypatch.setattr(sink.lake, "put", slow)  # the store of both
    writing = asyncio.create_task(sink.loop.turn())
    await started.wait()
    while not writing.done():
        assert not await other.loop.turn()
        await asyncio.sleep(0.1)
    assert await writing
    assert len(keys) == 1
    assert sorted(sink.results()) == [0, 1]
    assert other.published == []


async def test_a_process_that_lost_its_claim_writes_nothing(
    sink: Sink, other: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assigned(sink)
    monkeypatch.setattr(claim_module, "RENEW_EVERY_S", 0.05)
    keys, put, fetch = [], sink.lake.put, sink.writer._fetch  # noqa: SLF001 - the step between two looks

    async def counted(key: str, data: Any, metadata: Any) -> None:
        keys.append(key)
        await put(key, data, metadata)

    async def claimed_meanwhile(*arguments: Any) -> Any:
        found = await fetch(*arguments)
        await sink.pool.execute("UPDATE onpoint_lake.objects SET claimed_at = clock_timestamp()")
        await asyncio.sleep(0.5)
        return found

    monkeypatch.setattr(sink.lake, "put", counted)
    monkeypatch.setattr(sink.writer, "_fetch", claimed_meanwhile)
    assert await sink.loop.turn()
    assert (keys, sink.published, await sink.states()) == ([], [], ["assigned"])
    await other.drain()
    assert sorted(other.results()) == [0, 1]
    assert len(keys) == 1


@pytest.mark.parametrize("damage", ["missing", "flipped"])
async def test_a_bad_artifact_makes_its_batch_dead_and_the_rest_is_stored(sink: Sink, damage: str) -> None:
    made = await assigned(sink, batches=3)
    key = sink.staging.key(made[1].artifacts[0].uri, "runs/")
    if damage == "missing":
        await sink.staging.delete(key)
    else:
        content = bytearray(await sink.staging.get(key) or b"")
        content[20] ^= 1
        await sink.staging.put(key, bytes(content))
    await sink.drain()
    results = sink.results()
    assert [results[sequence].status for sequence in range(3)] == ["done", "dead", "done"]
    assert results[1].reason is (Reason.OBJECT_MISSING if damage == "missing" else Reason.CHECKSUM)
    assert results[1].counts == Counts(read=10)
    [table] = (await sink.objects()).values()
    assert table.column("_source_position").to_pylist() == [*range(10), *range(2000, 2010)]
    assert await sink.statuses() == ["assigned", "dead", "assigned"]


async def test_a_failure_in_the_loop_is_published_even_if_the_process_dies_before(
    sink: Sink, other: Sink
) -> None:
    [batch] = await assigned(sink, batches=1)
    await sink.staging.delete(sink.staging.key(batch.artifacts[0].uri, "runs/"))
    assert await sink.loop.turn()
    assert sink.published == []
    await other.drain()
    assert [outgoing.topic for outgoing in other.published] == [topics.BATCH_FAILED]
    other.published.clear()
    await other.drain()
    assert other.published == []


async def test_a_zombie_does_not_bring_back_an_object_that_was_undone(
    sink: Sink, other: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await assigned(sink)
    written = Claim.written

    async def undone(claim: Claim, files: Any) -> bool:
        monkeypatch.undo()
        await claim.connection.execute("SELECT pg_advisory_unlock_all()")
        await sink.staging.delete(sink.staging.key(made[0].artifacts[0].uri, "runs/"))
        await other.drain()
        return await written(claim, files)

    monkeypatch.setattr(Claim, "written", undone)
    await sink.loop.turn()
    assert sink.published == []
    assert [other.results()[sequence].status for sequence in range(2)] == ["dead", "done"]
    assert await other.states() == ["announced"]


async def test_a_batch_that_cannot_be_written_for_no_known_reason_takes_no_other_with_it(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assigned(sink, batches=3)
    fetch = sink.writer._fetch  # noqa: SLF001 - a fault that no input can provoke

    async def poisoned(claim: Claim, folder: Path, batch: BatchManifest) -> Any:
        if batch.sequence == 1:
            raise ZeroDivisionError("poison")
        return await fetch(claim, folder, batch)

    monkeypatch.setattr(sink.writer, "_fetch", poisoned)
    await sink.drain()
    results = sink.results()
    assert [results[sequence].status for sequence in range(3)] == ["done", "dead", "done"]
    assert results[1].reason is Reason.HANDLER
    assert len(await sink.objects()) == 2


async def test_an_object_that_failed_rests_while_others_go_on(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink.loop._retry_delay_s = 60  # noqa: SLF001 - long enough that it does not come again in this test
    for run_id in ("bad", "good"):
        await sink.deliver(await sink.make(10, run_id=run_id))
        await sink.seal(1, run_id=run_id)
    write = sink.writer.write

    async def failing(claim: Claim, batches: list[BatchManifest]) -> bool:
        if claim.run_id == "bad":
            raise ZeroDivisionError
        is_written: bool = await write(claim, batches)
        return is_written

    monkeypatch.setattr(sink.writer, "write", failing)
    await sink.drain()
    assert [outgoing.event.run_id for outgoing in sink.published] == ["good"]  # type: ignore[attr-defined]  # manifests


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), OSError(28, "No space left on device")])
async def test_an_outage_kills_no_batch_and_work_goes_on_after_it(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await assigned(sink)
    fetch, failures = sink.writer._fetch, 0  # noqa: SLF001 - as above

    async def failing(*arguments: Any) -> Any:
        nonlocal failures
        failures += 1
        if failures <= 2:
            raise error
        return await fetch(*arguments)

    monkeypatch.setattr(sink.writer, "_fetch", failing)
    monkeypatch.setattr("shared.runtime.background.BACKOFF_S", (0.01,))
    await run_until_published(sink)
    assert [result.status for result in sink.results().values()] == ["done", "done"]


async def test_a_broker_that_is_away_is_waited_for(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    await assigned(sink)
    failures = iter([KafkaConnectionError(), KafkaConnectionError()])

    async def publish(outgoing: Sequence[Outgoing]) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        sink.published.extend(outgoing)

    sink.rebuild(publish=publish)
    monkeypatch.setattr("shared.runtime.background.BACKOFF_S", (0.01,))
    await run_until_published(sink)
    assert await sink.states() == ["announced"]


async def test_a_poisoned_producer_ends_the_loop(sink: Sink) -> None:
    await assigned(sink)

    async def publish(_outgoing: Sequence[Outgoing]) -> None:
        raise OutOfOrderSequenceNumber

    sink.rebuild(publish=publish)
    with pytest.raises(OutOfOrderSequenceNumber):
        await sink.loop.run()


async def test_a_backend_that_is_killed_while_an_object_is_written_is_an_outage(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assigned(sink)
    put = sink.lake.put

    async def killing(key: str, data: Any, metadata: Any) -> None:
        monkeypatch.undo()
        await put(key, data, metadata)
        await sink.pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    monkeypatch.setattr(sink.lake, "put", killing)
    await run_until_published(sink)
    assert sorted(sink.results()) == [0, 1]


async def run_until_published(sink: Sink) -> None:
    loop = asyncio.create_task(sink.loop.run())
    try:
        async with asyncio.timeout(20):
            while not sink.published:
                assert not loop.done(), loop.exception()
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
