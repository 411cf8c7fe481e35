from functools import partial

import pytest

from services.processor.handlers import Handlers
from services.processor.service import ProcessorService
from shared.bus.messages import Record
from shared.errors import PermanentError
from shared.events import topics
from shared.events.decode import encode
from shared.events.models import BatchManifest, Counts
from shared.reasons import Reason
from shared.stages.results import Batches, mark_batch_failed
from shared.storage.object_store import ObjectStore
from tests.support.crawled import put_crawled


def record_of(value: bytes | None, key: str = "k") -> Record:
    return Record(topics.BATCH_CRAWLED, 0, 0, 0, key.encode(), value)


async def test_a_crawled_batch_is_published_as_processed(
    staging: ObjectStore, service: ProcessorService
) -> None:
    crawled = await put_crawled(staging, "posts", [b'{"id":1}'])
    (outgoing,) = await Handlers(service).on_batch_crawled(record_of(encode(crawled), crawled.batch_id))
    assert (outgoing.topic, outgoing.key) == (topics.BATCH_PROCESSED, crawled.batch_id)
    assert isinstance(outgoing.event, BatchManifest)
    assert outgoing.event.counts == Counts(read=1, accepted=1)


async def test_the_same_record_twice_publishes_one_result_twice(
    staging: ObjectStore, service: ProcessorService
) -> None:
    crawled = await put_crawled(staging, "posts", [b'{"id":1}'])
    record = record_of(encode(crawled), crawled.batch_id)
    assert await Handlers(service).on_batch_crawled(record) == await Handlers(service).on_batch_crawled(
        record
    )


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b"\xff", b'{"version":2}', b"null"])
async def test_what_is_not_a_manifest_is_refused(service: ProcessorService, value: bytes | None) -> None:
    with pytest.raises(PermanentError):
        await Handlers(service).on_batch_crawled(record_of(value))


async def test_a_batch_that_cannot_be_processed_is_marked_failed_with_its_row_count(
    staging: ObjectStore, service: ProcessorService, batches: Batches
) -> None:
    crawled = await put_crawled(staging, "unknown", [b"{}", b"{}"])
    record = record_of(encode(crawled), crawled.batch_id)
    with pytest.raises(PermanentError) as caught:
        await Handlers(service).on_batch_crawled(record)
    outcome = await partial(mark_batch_failed, batches)(record, caught.value)
    (outgoing,) = outcome.events
    assert outcome.dead
    assert outgoing.topic == topics.BATCH_FAILED
    assert isinstance(outgoing.event, BatchManifest)
    assert (outgoing.event.stage, outgoing.event.reason) == ("processor", Reason.SCHEMA)
    assert outgoing.event.counts.read == 2
