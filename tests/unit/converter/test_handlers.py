import pytest

from services.converter.handlers import Handlers
from services.converter.service.combiner import Combiner
from services.converter.service.conversion import ConverterService
from shared.bus.delivery import DeferRecord
from shared.bus.messages import Record
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.decode import encode
from shared.events.models import BatchManifest, CrawlRequest, ExportsCombined, ExportsCombineRequested
from shared.events.names import Format
from shared.reasons import Reason
from shared.stages.results import Batches, mark_batch_failed
from shared.storage import keys
from shared.storage.object_store import ObjectStore
from tests.support.processed import REQUESTED_AT, put_processed, record_of


async def test_a_processed_batch_is_published_as_converted(
    staging: ObjectStore, service: ConverterService, combiner: Combiner, things: Dataset
) -> None:
    request = CrawlRequest(run_id="run-1", datasets=("things",), requested_at=REQUESTED_AT)
    await staging.put(keys.request_key("run-1"), encode(request))
    processed = await put_processed(staging, things, [{"id": 1}])
    (outgoing,) = await Handlers(service, combiner).on_batch_processed(
        record_of(processed, processed.batch_id)
    )
    assert (outgoing.topic, outgoing.key) == (topics.BATCH_CONVERTED, processed.batch_id)


async def test_a_batch_that_cannot_be_converted_is_marked_failed_with_its_row_count(
    staging: ObjectStore, service: ConverterService, combiner: Combiner, batches: Batches, things: Dataset
) -> None:
    processed = await put_processed(staging, things, [{"id": 1}, {"id": 2}])
    record = record_of(processed, processed.batch_id)
    with pytest.raises(PermanentError) as caught:
        await Handlers(service, combiner).on_batch_processed(record)
    outcome = await mark_batch_failed(batches, record, caught.value)
    (outgoing,) = outcome.events
    assert outgoing.topic == topics.BATCH_FAILED
    assert isinstance(outgoing.event, BatchManifest)
    assert (outgoing.event.stage, outgoing.event.counts.read) == ("converter", 2)


def asked(name: Format = "csv") -> ExportsCombineRequested:
    return ExportsCombineRequested(run_id="run-1", dataset="things", format=name)


def request_of(event: ExportsCombineRequested) -> Record:
    key = ids.combination_id(event.run_id, event.dataset, event.format)
    return record_of(event, key, topics.EXPORTS_COMBINE_REQUESTED)


async def test_what_was_combined_is_published_by_its_run(
    staging: ObjectStore, service: ConverterService, combiner: Combiner, things: Dataset
) -> None:
    await Batches(staging, "processor").commit(await put_processed(staging, things, [{"id": 1}]))
    (outgoing,) = await Handlers(service, combiner).on_combine_requested(request_of(asked()))
    assert (outgoing.topic, outgoing.key) == (topics.EXPORTS_COMBINED, "run-1")
    assert isinstance(outgoing.event, ExportsCombined)
    assert (outgoing.event.status, [file.rows for file in outgoing.event.files]) == ("done", [1])


async def test_one_that_has_more_to_write_comes_again(
    service: ConverterService, combiner: Combiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unfinished(*_: object) -> None:
        return None

    monkeypatch.setattr(Combiner, "combine", unfinished)
    with pytest.raises(DeferRecord):
        await Handlers(service, combiner).on_combine_requested(request_of(asked()))


async def test_a_request_under_the_key_of_another_is_refused(
    service: ConverterService, combiner: Combiner
) -> None:
    record = record_of(asked(), "0" * 32, topics.EXPORTS_COMBINE_REQUESTED)
    with pytest.raises(PermanentError):
        await Handlers(service, combiner).on_combine_requested(record)


async def test_a_failed_combination_is_told_and_leaves_a_dead_letter(
    service: ConverterService, combiner: Combiner
) -> None:
    error = PermanentError(Reason.SCHEMA, "column price: a value is NaN\x00")
    outcome = await Handlers(service, combiner).mark_combination_failed(request_of(asked("json")), error)
    (outgoing,) = outcome.events
    assert outcome.dead
    assert isinstance(outgoing.event, ExportsCombined)
    assert (outgoing.event.status, outgoing.event.detail, outgoing.event.format) == (
        "failed",
        "column price: a value is NaN\ufffd",
        "json",
    )


async def test_an_undecodable_request_leaves_its_dead_letter_alone(
    service: ConverterService, combiner: Combiner
) -> None:
    record = Record(topics.EXPORTS_COMBINE_REQUESTED, 0, 0, 0, None, b"{")
    error = PermanentError(Reason.DECODE, "no JSON")
    outcome = await Handlers(service, combiner).mark_combination_failed(record, error)
    assert (outcome.dead, outcome.events) == (True, ())
