import pytest

from services.converter.handlers import Handlers
from services.converter.service.conversion import ConverterService
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events import topics
from shared.events.decode import encode
from shared.events.models import BatchManifest, CrawlRequest
from shared.stages.results import Batches, mark_batch_failed
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from tests.support.processed import REQUESTED_AT, put_processed, record_of


async def test_a_processed_batch_is_published_as_converted(
    staging: ObjectStore, service: ConverterService, things: Dataset
) -> None:
    request = CrawlRequest(run_id="run-1", datasets=("things",), requested_at=REQUESTED_AT)
    await staging.put(keys.request_key("run-1"), encode(request))
    processed = await put_processed(staging, things, [{"id": 1}])
    (outgoing,) = await Handlers(service).on_batch_processed(record_of(processed, processed.batch_id))
    assert (outgoing.topic, outgoing.key) == (topics.BATCH_CONVERTED, processed.batch_id)


async def test_a_batch_that_cannot_be_converted_is_marked_failed_with_its_row_count(
    staging: ObjectStore, service: ConverterService, batches: Batches, things: Dataset
) -> None:
    processed = await put_processed(staging, things, [{"id": 1}, {"id": 2}])
    record = record_of(processed, processed.batch_id)
    with pytest.raises(PermanentError) as caught:
        await Handlers(service).on_batch_processed(record)
    outcome = await mark_batch_failed(batches, record, caught.value)
    (outgoing,) = outcome.events
    assert outgoing.topic == topics.BATCH_FAILED
    assert isinstance(outgoing.event, BatchManifest)
    assert (outgoing.event.stage, outgoing.event.counts.read) == ("converter", 2)
