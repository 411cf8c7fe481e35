"""First writer wins, on the store of every stage without a database."""

import asyncio
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from shared.bus.messages import Record
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.decode import encode
from shared.events.models import BatchManifest, BatchUnreadable, Counts, CrawlRequest
from shared.events.topology import ReplayStage, Stage
from shared.observability.metrics import STAGE_BATCHES
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError, dead_manifest
from shared.stages.messages import read_batch, result_event, try_read_batch
from shared.stages.results import Batches, mark_batch_failed, redrive_batch
from shared.stages.scratch import scratch_folder
from shared.storage import keys
from shared.storage.errors import ChecksumError, ObjectMissingError
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.counters import gained

AT = datetime(2026, 11, 24, 6, tzinfo=UTC)


@pytest.fixture
def staging() -> ObjectStore:
    return open_memory("staging")


def manifest(stage: str = "processor", detail: str | None = None, accepted: int = 3) -> BatchManifest:
    return BatchManifest.model_validate(
        {
            "run_id": "r",
            "dataset": "posts",
            "batch_id": ids.batch_id("r", "posts", 0),
            "sequence": 0,
            "stage": stage,
            "detail": detail,
            "requested_at": AT,
            "counts": {"read": 5, "accepted": accepted, "rejected": 5 - accepted},
            "produced_at": AT,
            "code_version": "test",
        }
    )


def record_of(value: bytes | None, key: bytes | None) -> Record:
    return Record(topics.BATCH_PROCESSED, 0, 0, 0, key, value)


async def test_the_first_commit_stands_and_the_second_writer_gets_it(staging: ObjectStore) -> None:
    first, second = manifest(detail="first"), manifest(detail="second")
    assert await Batches(staging, "processor").commit(first) == first
    assert await Batches(staging, "processor").commit(second) == first


async def test_of_ten_writers_at_once_all_get_one_result(staging: ObjectStore) -> None:
    results = await asyncio.gather(
        *(Batches(staging, "processor").commit(manifest(detail=str(n))) for n in range(10))
    )
    assert len({result.detail for result in results}) == 1


async def test_what_was_committed_is_found_again(staging: ObjectStore) -> None:
    batches = Batches(staging, "processor")
    assert await batches.committed("r", "posts", manifest().batch_id) is None
    await batches.commit(manifest())
    assert await batches.committed("r", "posts", manifest().batch_id) == manifest()


async def test_stages_do_not_see_each_other_s_results(staging: ObjectStore) -> None:
    await Batches(staging, "processor").commit(manifest())
    assert await Batches(staging, "converter").committed("r", "posts", manifest().batch_id) is None


async def test_a_batch_is_done_or_dead_never_both(staging: ObjectStore) -> None:
    batches = Batches(staging, "converter")
    parent = manifest()
    record = record_of(encode(parent), parent.batch_id.encode())
    outcome = await mark_batch_failed(batches, record, PermanentError(Reason.CHECKSUM, "x"))
    assert outcome.dead
    assert [outgoing.topic for outgoing in outcome.events] == [topics.BATCH_FAILED]
    late = await batches.commit(manifest("converter"))
    assert late.status == "dead"
    with pytest.raises(BatchDeadError):
        await batches.committed("r", "posts", parent.batch_id)


async def test_a_failure_after_a_done_result_changes_nothing(staging: ObjectStore) -> None:
    batches = Batches(staging, "converter")
    done = await batches.commit(manifest("converter"))
    parent = manifest()
    with gained(STAGE_BATCHES) as counted:
        outcome = await mark_batch_failed(
            batches, record_of(encode(parent), parent.batch_id.encode()), PermanentError(Reason.HANDLER, "x")
        )
    assert not outcome.dead
    assert counted == {}
    assert outcome.events == (result_event(done),)


async def test_failing_twice_publishes_the_same_failure(staging: ObjectStore) -> None:
    batches = Batches(staging, "converter")
    parent = manifest()
    record = record_of(encode(parent), parent.batch_id.encode())
    with gained(STAGE_BATCHES) as counted:
        first = await mark_batch_failed(batches, record, PermanentError(Reason.CHECKSUM, "first"))
        second = await mark_batch_failed(batches, record, PermanentError(Reason.HANDLER, "second"))
    assert first == second
    assert counted == {("converter", "posts", "dead"): 1}


async def test_a_death_can_be_taken_back_and_the_batch_done_after_all(staging: ObjectStore) -> None:
    batches = Batches(staging, "converter")
    parent = manifest()
    record = record_of(encode(parent), parent.batch_id.encode())
    await mark_batch_failed(batches, record, PermanentError(Reason.CHECKSUM, "x"))
    await redrive_batch(batches, record)
    assert await batches.committed("r", "posts", parent.batch_id) is None
    done = await batches.commit(manifest("converter"))
    await redrive_batch(batches, record)
    assert await batches.committed("r", "posts", parent.batch_id) == done


@pytest.mark.parametrize(
    ("from_stage", "asked"),
    [
        (None, {"converter", "loader", "s3sink"}),
        ("processor", {"converter", "loader", "s3sink"}),
        ("converter", {"converter"}),
        ("loader", {"loader"}),
        ("s3sink", {"s3sink"}),
    ],
)
async def test_the_frozen_request_decides_which_stages_a_run_has(
    staging: ObjectStore, from_stage: ReplayStage | None, asked: set[str]
) -> None:
    request = CrawlRequest(run_id="r", datasets=("posts",), requested_at=AT, from_stage=from_stage)
    await staging.put(keys.request_key("r"), encode(request))
    stages: tuple[Stage, ...] = ("converter", "loader", "s3sink")
    assert {stage for stage in stages if await Batches(staging, stage).is_asked("r")} == asked


async def test_a_run_without_a_request_has_every_stage(staging: ObjectStore) -> None:
    assert await Batches(staging, "loader").is_asked("unknown")


def test_the_dead_of_a_stage_are_the_rows_that_it_was_given() -> None:
    dead = dead_manifest(manifest(accepted=3), "loader", PermanentError(Reason.RANGE, "x"))
    assert dead.counts == Counts(read=3)


OTHER = ids.batch_id("other", "posts", 0)


@pytest.mark.parametrize("key", [None, manifest().batch_id.encode()])
def test_a_batch_is_read_from_a_record_with_its_own_key_or_none(key: bytes | None) -> None:
    assert read_batch(record_of(encode(manifest()), key)) == manifest()


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"batch_id": OTHER}, OTHER.encode()),
        ({"batch_id": OTHER}, None),
        ({"run_id": "other"}, None),
        ({"dataset": "users"}, None),
        ({"sequence": 1}, None),
        ({}, OTHER.encode()),
        ({}, b""),
        ({}, b"\xff"),
    ],
)
def test_a_batch_under_the_id_of_another_is_refused(changes: dict[str, object], key: bytes | None) -> None:
    record = record_of(encode(manifest().model_copy(update=changes)), key)
    with pytest.raises(PermanentError) as caught:
        read_batch(record)
    assert caught.value.reason is Reason.SCHEMA
    assert try_read_batch(record) is None, "its death is not the other's either"


@pytest.mark.parametrize("service", ["converter", "loader", "processor", "s3sink"])
async def test_every_stage_refuses_a_batch_under_the_id_of_another(service: str) -> None:
    more = {"combiner": None} if service == "converter" else {}
    handlers = import_module(f"services.{service}.handlers").Handlers(service=None, **more)
    handle = handlers.on_batch_crawled if service == "processor" else handlers.on_batch_processed
    record = record_of(encode(manifest().model_copy(update={"batch_id": OTHER})), OTHER.encode())
    with pytest.raises(PermanentError, match="batch_id is not that of its run, dataset and sequence"):
        await handle(record)


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"run_id": "r"}'])
async def test_the_failure_of_an_undecodable_record_is_published_by_its_key_alone(
    staging: ObjectStore, value: bytes | None
) -> None:
    batch_id = "0" * 32
    outcome = await mark_batch_failed(
        Batches(staging, "loader"), record_of(value, batch_id.encode()), PermanentError(Reason.DECODE, "x")
    )
    (outgoing,) = outcome.events
    assert isinstance(outgoing.event, BatchUnreadable)
    assert outgoing.event.batch_id == batch_id


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"not an id"])
async def test_without_a_key_the_dead_letter_is_all(staging: ObjectStore, key: bytes | None) -> None:
    outcome = await mark_batch_failed(
        Batches(staging, "loader"), record_of(b"{", key), PermanentError(Reason.DECODE, "x")
    )
    assert outcome.dead
    assert not outcome.events


async def test_an_artifact_arrives_as_it_was_put(staging: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"rows")
    artifact = await Batches(staging, "crawler").artifacts.put(
        "r", "posts", source, extension="jsonl.zst", rows=1
    )
    assert artifact.sha256 in artifact.uri
    target = tmp_path / "b"
    await Batches(staging, "processor").artifacts.fetch(manifest("crawler"), artifact, target)
    assert target.read_bytes() == b"rows"


async def test_an_artifact_that_changed_or_went_is_refused(staging: ObjectStore, tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"rows")
    batches = Batches(staging, "crawler")
    artifact = await batches.artifacts.put("r", "posts", source, extension="jsonl.zst", rows=1)
    key = artifact.uri.split("/", 3)[3]
    await staging.put(key, b"rowz")
    with pytest.raises(ChecksumError):
        await batches.artifacts.fetch(manifest(), artifact, tmp_path / "b")
    await staging.delete(key)
    with pytest.raises(ObjectMissingError):
        await batches.artifacts.fetch(manifest(), artifact, tmp_path / "b")


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "s3://other/runs/r/posts/x",
        "memory://staging/runs/other/posts/x",
        "memory://staging/runs/r/users/x",
        "memory://staging/runs/r/posts/../users/x",
    ],
)
async def test_an_artifact_of_another_place_is_not_fetched(
    staging: ObjectStore, tmp_path: Path, uri: str
) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"rows")
    batches = Batches(staging, "crawler")
    artifact = await batches.artifacts.put("r", "posts", source, extension="jsonl.zst", rows=1)
    with pytest.raises(PermanentError):
        await batches.artifacts.fetch(manifest(), artifact.model_copy(update={"uri": uri}), tmp_path / "b")


def test_a_scratch_folder_is_gone_afterwards_whatever_happens() -> None:
    folders: list[Path] = []

    def work() -> None:
        with scratch_folder() as folder:
            folders.append(folder)
            (folder / "x").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert not folders[0].exists()
