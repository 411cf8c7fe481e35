"""A dead batch whose record is replayed: it is stored at once where its run is sealed, and strands no other."""

import pytest
from aiokafka.errors import KafkaError

from shared.errors import PermanentError
from shared.reasons import Reason
from tests.support.processed import record_of
from tests.support.sink import Sink

pytestmark = pytest.mark.integration

BUG = PermanentError(Reason.HANDLER, "a bug")


async def test_a_dead_batch_of_a_sealed_run_is_stored_at_once_when_it_is_replayed(sink: Sink) -> None:
    dead = await sink.make(5, 1)
    await sink.deliver(await sink.make(10, 0))
    await sink.mark_failed(dead, BUG)
    await sink.seal(2)
    await sink.drain()
    for _ in range(2):  # a second replay finds it stored
        await sink.handlers.redrive(record_of(dead, dead.batch_id))
        await sink.deliver(dead)
        await sink.drain()
    assert await sink.statuses() == ["assigned", "assigned"]
    assert sorted(table.num_rows for table in (await sink.objects()).values()) == [5, 10]
    assert {result.status for result in sink.results().values()} == {"done"}
    assert len(sink.published) == 2


async def test_each_of_several_dead_batches_is_stored_without_waiting_for_the_others(sink: Sink) -> None:
    dead = [await sink.make(5, sequence) for sequence in (1, 2, 3)]
    await sink.deliver(await sink.make(10, 0))
    for batch in dead:
        await sink.mark_failed(batch, BUG)
    await sink.seal(4)
    await sink.drain()
    for batch in dead:
        await sink.handlers.redrive(record_of(batch, batch.batch_id))
    await sink.deliver(dead[1])
    await sink.drain()
    assert sorted(sink.results()) == [0, 2]
    await sink.mark_failed(dead[0], BUG)
    await sink.deliver(dead[2])
    await sink.drain()
    assert sorted(sink.results()) == [0, 2, 3]
    assert await sink.statuses() == ["assigned", "dead", "assigned", "assigned"]


async def test_a_batch_beyond_the_seal_is_stored_at_once(sink: Sink) -> None:
    """It was dead at an earlier stage when its run was sealed, and was redriven there."""
    await sink.deliver(await sink.make(10, 0))
    await sink.seal(1)
    await sink.drain()
    await sink.deliver(await sink.make(5, 1))
    await sink.drain()
    assert sorted(sink.results()) == [0, 1]


async def test_a_batch_that_is_redriven_before_its_run_is_sealed_is_stored_with_the_others(
    sink: Sink,
) -> None:
    dead = await sink.make(5, 1)
    await sink.mark_failed(dead, BUG)
    await sink.deliver(await sink.make(10, 0))
    await sink.handlers.redrive(record_of(dead, dead.batch_id))
    await sink.seal(2)
    await sink.drain()
    assert sink.results() == {}
    await sink.deliver(dead)
    await sink.drain()
    assert [table.num_rows for table in (await sink.objects()).values()] == [15]


async def test_what_is_accepted_or_stored_is_never_undone(sink: Sink) -> None:
    accepted = await sink.make(10, 0)
    await sink.deliver(accepted)
    await sink.handlers.redrive(record_of(accepted, accepted.batch_id))
    assert await sink.statuses() == ["pending"]
    await sink.seal(1)
    await sink.drain()
    await sink.handlers.redrive(record_of(accepted, accepted.batch_id))
    assert await sink.statuses() == ["assigned"]
    assert await sink.deliver(accepted) == sink.published


async def test_a_batch_that_died_while_its_object_was_written_can_be_redriven(sink: Sink) -> None:
    """It has no dead letter of its own; its record may come again all the same."""
    batch = await sink.make(10, 0)
    key = sink.staging.key(batch.artifacts[0].uri, "runs/")
    content = await sink.staging.get(key)
    await sink.staging.delete(key)
    await sink.deliver(batch)
    await sink.seal(1)
    await sink.drain()
    assert await sink.statuses() == ["dead"]
    await sink.staging.put(key, content or b"")
    await sink.handlers.redrive(record_of(batch, batch.batch_id))
    await sink.deliver(batch)
    await sink.drain()
    assert [sink.results()[0].status, *await sink.statuses()] == ["done", "assigned"]


async def test_a_batch_that_dies_while_its_object_is_written_leaves_its_record_as_a_dead_letter(
    sink: Sink,
) -> None:
    good, broken = await sink.make(10, 0), await sink.make(5, 1)
    [artifact] = broken.artifacts
    key = sink.staging.key(artifact.uri, "")
    content = await sink.staging.get(key)
    assert content is not None
    await sink.staging.put(key, content[:-1] + bytes([content[-1] ^ 1]))
    record = record_of(broken, broken.batch_id)
    for batch in (good, broken):
        await sink.deliver(batch)
    await sink.seal(2)
    await sink.drain()
    assert await sink.statuses() == ["assigned", "dead"]
    [(dead_letter, error)] = sink.dead_letters
    assert dead_letter == record
    assert error.reason is Reason.CHECKSUM
    await sink.staging.put(key, content)
    await sink.handlers.redrive(dead_letter)
    await sink.deliver(broken)
    await sink.drain()
    assert {result.status for result in sink.results().values()} == {"done"}
    assert len(sink.dead_letters) == 1


async def test_a_failure_whose_dead_letter_could_not_be_written_is_published_again(sink: Sink) -> None:
    broken = await sink.make(5, 0)
    await sink.deliver(broken)
    await sink.staging.delete(sink.staging.key(broken.artifacts[0].uri, ""))
    await sink.seal(1)
    sink.refuses_dead_letters = True
    with pytest.raises(KafkaError):
        await sink.drain()
    assert sink.results() == {}
    sink.refuses_dead_letters = False
    await sink.drain()
    assert sink.results()[0].status == "dead"
    assert len(sink.dead_letters) == 1
