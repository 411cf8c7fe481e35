"""When a batch goes into an object: by size, by age, or because its run has no more."""

import asyncio
from dataclasses import replace

import pyarrow as pa
import pytest

from shared.errors import PermanentError
from shared.events import topics
from shared.events.models import BatchManifest, Counts
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError
from shared.storage import keys
from tests.support.processed import a_dataset, put_processed
from tests.support.sink import LIMITS, Sink

pytestmark = pytest.mark.integration


async def test_a_small_batch_waits_and_publishes_nothing(sink: Sink) -> None:
    assert await sink.deliver(await sink.make(10)) == []
    await sink.drain()
    assert (await sink.statuses(), await sink.objects(), sink.published) == (["pending"], {}, [])


async def test_batches_are_stored_when_their_bytes_reach_the_target(sink: Sink) -> None:
    batches = [await sink.make(100, sequence) for sequence in range(4)]
    size = batches[0].artifacts[0].bytes
    sink.rebuild(limits=replace(LIMITS, target_bytes=size, most_bytes=3 * size))
    for batch in batches:  # guessed at half: two batches reach the target
        await sink.deliver(batch)
    await sink.drain()
    assert [table.num_rows for table in (await sink.objects()).values()] == [200, 200]
    assert await sink.statuses() == ["assigned"] * 4


async def test_batches_are_stored_when_their_rows_reach_the_target(sink: Sink) -> None:
    sink.rebuild(limits=replace(LIMITS, target_rows=200))
    for sequence in range(5):
        await sink.deliver(await sink.make(100, sequence))
    await sink.drain()
    assert [table.num_rows for table in (await sink.objects()).values()] == [200, 200]
    assert await sink.statuses() == ["assigned"] * 4 + ["pending"]


async def test_a_batch_that_waited_long_enough_is_stored(sink: Sink) -> None:
    sink.rebuild(limits=replace(LIMITS, age_s=60))
    await sink.deliver(await sink.make(10, 0))
    await sink.drain()
    assert await sink.states() == []
    await sink.pool.execute("UPDATE onpoint_lake.batches SET arrived_at = arrived_at - interval '60 s'")
    await sink.deliver(await sink.make(10, 1))
    await sink.drain()
    assert [table.num_rows for table in (await sink.objects()).values()] == [20]


async def test_a_sealed_run_is_stored_when_its_last_batch_arrives(sink: Sink) -> None:
    await sink.seal(2)
    await sink.deliver(await sink.make(10, 1))
    await sink.drain()
    assert await sink.states() == []
    await sink.deliver(await sink.make(10, 0))
    await sink.drain()
    [table] = (await sink.objects()).values()
    assert table.column("_source_position").to_pylist() == [*range(10), *range(1000, 1010)]


async def test_a_run_that_is_complete_is_stored_when_it_is_sealed(sink: Sink) -> None:
    for sequence in (1, 0):
        await sink.deliver(await sink.make(10, sequence))
    await sink.seal(2)
    await sink.seal(2)
    await sink.drain()
    assert len(await sink.objects()) == 1
    assert sorted(sink.results()) == [0, 1]


async def test_a_sealed_run_wakes_the_loop_and_is_published_at_once(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, wait = asyncio.Event(), sink.woken.wait

    async def wait_and_tell() -> bool:
        waits.set()
        return await wait()

    monkeypatch.setattr("services.s3sink.workers.object_writer.IDLE_S", 3600.0)
    monkeypatch.setattr(sink.woken, "wait", wait_and_tell)
    await sink.deliver(await sink.make(10))
    loop = asyncio.create_task(sink.loop.run())
    try:
        async with asyncio.timeout(60):
            await waits.wait()
            assert sink.published == []
            await sink.seal(1)
            while not sink.published:
                await asyncio.sleep(0.005)
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_runs_do_not_share_an_object(sink: Sink) -> None:
    for run_id in ("a", "b"):
        await sink.deliver(await sink.make(10, run_id=run_id))
        await sink.seal(1, run_id=run_id)
    await sink.drain()
    assert [table.column("_run_id").unique().to_pylist() for table in (await sink.objects()).values()] in (
        [["a"], ["b"]],
        [["b"], ["a"]],
    )


async def test_a_dead_batch_counts_for_a_sealed_run(sink: Sink) -> None:
    await sink.deliver(await sink.make(10, 0))
    await sink.seal(2)
    outcome = await sink.mark_failed(await sink.make(5, 1), PermanentError(Reason.HANDLER, "poison"))
    assert outcome.dead
    await sink.drain()
    assert sorted(sink.results()) == [0]
    assert await sink.statuses() == ["assigned", "dead"]


async def test_a_batch_without_rows_is_stored_at_once_without_an_object(sink: Sink) -> None:
    await sink.seal(2)
    await sink.deliver(await sink.make(3, 0))
    batch = await sink.make(0, 1)
    first, again = await sink.deliver(batch), await sink.deliver(batch)
    assert first == again
    [published] = first
    assert published.topic == topics.BATCH_STORED
    assert isinstance(published.event, BatchManifest)
    assert (published.event.artifacts, published.event.counts) == ((), Counts())
    await sink.drain()
    assert [table.num_rows for table in (await sink.objects()).values()] == [3]


async def test_a_batch_that_comes_again_before_it_is_stored_changes_nothing(sink: Sink) -> None:
    batch = await sink.make(10)
    await sink.deliver(batch)
    assert await sink.deliver(batch) == []
    await sink.seal(1)
    assert await sink.deliver(batch) == []
    await sink.drain()
    assert len(sink.published) == 1


async def test_the_result_of_a_batch_that_comes_again_after_it_is_stored_is_published_again(
    sink: Sink,
) -> None:
    batch = await sink.make(10)
    await sink.deliver(batch)
    await sink.seal(1)
    await sink.drain()
    assert await sink.deliver(batch) == sink.published


async def test_a_death_after_the_arrival_is_ignored(sink: Sink) -> None:
    batch = await sink.make(10)
    await sink.deliver(batch)
    outcome = await sink.mark_failed(batch, PermanentError(Reason.HANDLER, "late"))
    assert (outcome.dead, outcome.events) == (False, ())
    await sink.seal(1)
    await sink.drain()
    outcome = await sink.mark_failed(batch, PermanentError(Reason.HANDLER, "later"))
    assert (outcome.dead, list(outcome.events)) == (False, sink.published)


async def test_a_dead_batch_stays_dead_and_is_published_again(sink: Sink) -> None:
    batch = await sink.make(10)
    first = await sink.mark_failed(batch, PermanentError(Reason.HANDLER, "nul \x00 and \ud800"))
    with pytest.raises(BatchDeadError) as caught:
        await sink.deliver(batch)
    assert await sink.mark_failed(batch, caught.value) == first
    [published] = first.events
    assert published.topic == topics.BATCH_FAILED
    assert isinstance(published.event, BatchManifest)
    assert (published.event.stage, published.event.counts) == ("s3sink", Counts(read=10))


async def test_a_dataset_that_is_not_known_cannot_be_stored(sink: Sink) -> None:
    stranger = a_dataset({"id": "int64"}, key=["id"], name="strangers")
    with pytest.raises(PermanentError, match="strangers"):
        await sink.deliver(await put_processed(sink.staging, stranger, [{"id": 1}]))


async def test_a_batch_of_a_cancelled_run_is_dead_and_one_that_was_accepted_before_is_stored(
    sink: Sink,
) -> None:
    early, late = await sink.make(10, 0), await sink.make(10, 1)
    await sink.deliver(early)
    await sink.staging.put(keys.cancel_key("run-1"), b"")
    with pytest.raises(PermanentError) as caught:
        await sink.deliver(late)
    assert caught.value.reason is Reason.CANCELLED
    assert (await sink.mark_failed(late, caught.value)).dead
    await sink.seal(2)
    await sink.drain()
    assert await sink.statuses() == ["assigned", "dead"]
    assert sorted(sink.results()) == [0]


async def test_of_many_replicas_that_get_the_batches_of_a_sealed_run_at_once_none_strands_one(
    sink: Sink, other: Sink
) -> None:
    batches = [await sink.make(5, sequence) for sequence in range(20)]
    seals = [sink.seal(20), other.seal(20)]
    deliveries = [(sink, other)[place % 2].deliver(batch) for place, batch in enumerate(batches)]
    await asyncio.gather(*deliveries, *seals)
    await asyncio.gather(sink.drain(), other.drain())
    assert sorted({**sink.results(), **other.results()}) == list(range(20))
    tables = list((await sink.objects()).values())
    positions = pa.concat_tables(tables).column("_source_position").sort().to_pylist()
    assert positions == [1000 * sequence + place for sequence in range(20) for place in range(5)]


async def test_rows_that_another_replica_has_locked_block_no_other_and_are_taken_later(sink: Sink) -> None:
    await sink.deliver(await sink.make(10, 0))
    await sink.deliver(await sink.make(10, 1))
    async with sink.pool.acquire() as paused:
        transaction = paused.transaction()
        await transaction.start()
        await paused.execute("SELECT FROM onpoint_lake.batches WHERE sequence = 0 FOR UPDATE")
        await asyncio.wait_for(sink.seal(2), 5)
        await sink.drain()
        assert sorted(sink.results()) == [1]
        await transaction.rollback()
    await sink.drain()
    assert sorted(sink.results()) == [0, 1]


async def test_what_waits_is_counted_until_it_is_published(sink: Sink) -> None:
    sink.rebuild(limits=replace(LIMITS, target_rows=200))
    for sequence in range(3):
        await sink.deliver(await sink.make(100, sequence))
    assert await sink.repository.waiting() == (1, 1)
    await sink.drain()
    assert await sink.repository.waiting() == (0, 1)
