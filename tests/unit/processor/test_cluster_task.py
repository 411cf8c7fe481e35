"""What a worker answers, and how a batch that never ends ends."""

import subprocess
import sys

import pytest

from services.processor.cluster import task
from services.processor.cluster.outcome import (
    Done,
    OtherVersions,
    Outage,
    Refused,
    decode_answer,
    encode_answer,
    processed_of,
)
from services.processor.cluster.wanted import TRANSFORMS, wanted_for
from services.processor.engine import Cleaned
from shared.dask.versions import fingerprint, own_versions
from shared.datasets.catalog import Catalog
from shared.datasets.frozen import dump
from shared.datasets.transform import Mask, Step
from shared.errors import PermanentError, TransientError
from shared.events.decode import encode
from shared.events.models import Artifact, Counts
from shared.reasons import Reason
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore
from shared.transforms.apply import Transformer
from tests.support.crawled import put_crawled

COUNTS = Counts(read=3, accepted=1, rejected=1, deduplicated=1)
CLEANED = Cleaned(COUNTS, 1, {"type": 1}, ("a",), ("b",), 2, 3, True, ("a sentence",))
ARTIFACT = Artifact(uri="s3://staging/x", format="parquet", rows=1, bytes=10, sha256="0" * 64)


def test_a_result_comes_back_as_it_was() -> None:
    answer = decode_answer(encode_answer(Done(artifacts=(ARTIFACT,), cleaned=CLEANED)))
    assert isinstance(answer, Done)
    processed = processed_of(answer)
    assert (processed.artifacts, processed.cleaned) == ((ARTIFACT,), CLEANED)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_comes_back(reason: Reason) -> None:
    answer = decode_answer(encode_answer(Refused(reason=reason, text="why")))
    assert isinstance(answer, Refused)
    with pytest.raises(PermanentError, match="why") as caught:
        processed_of(answer)
    assert caught.value.reason is reason


def test_an_outage_of_a_worker_is_one_here() -> None:
    with pytest.raises(TransientError, match="the disk is full"):
        processed_of(Outage(text="the disk is full"))


async def test_a_task_of_another_version_is_not_begun(staging: ObjectStore, catalog: Catalog) -> None:
    task.prepare(Batches(staging, "processor").artifacts, Transformer())
    crawled = await put_crawled(staging, "posts", [b"{}"])
    answer = decode_answer(task.run_batch(encode(crawled), dump(catalog["posts"]), "another", 60))
    assert answer == OtherVersions(versions={**own_versions(), TRANSFORMS: Transformer().digest})
    assert [info.key async for info in staging.list("runs/run-1/posts/processor/")] == []


async def test_a_worker_with_another_secret_begins_no_batch_that_is_transformed(
    staging: ObjectStore, catalog: Catalog
) -> None:
    posts = catalog["posts"].model_copy(
        update={"transform": (Step(mask=(Mask(column="title", how="hash"),)),)}
    )
    task.prepare(Batches(staging, "processor").artifacts, Transformer(secret=b"a secret of workers"))
    crawled = await put_crawled(staging, "posts", [b"{}"])
    wanted = wanted_for(posts, own_versions(), Transformer(secret=b"another secret here"))
    answer = decode_answer(task.run_batch(encode(crawled), dump(posts), wanted, 60))
    assert isinstance(answer, OtherVersions)
    plain = wanted_for(catalog["posts"], own_versions(), Transformer(secret=b"another secret here"))
    assert plain == fingerprint(own_versions())


def test_a_process_that_was_not_started_as_a_worker_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "_place", task._Place())  # noqa: SLF001 - as at the start of a process
    answer = decode_answer(task.run_batch(b"{}", b"{}", fingerprint(own_versions()), 60))
    assert answer == Outage(text="this worker was not started as a worker of OnPoint")


@pytest.mark.parametrize(("work", "is_ended"), [("while True: pass", True), ("time.sleep(0.01)", False)])
def test_work_that_takes_too_long_ends_its_process_and_shows_where_it_was(work: str, is_ended: bool) -> None:
    code = (
        "import time\n"
        "from services.processor.cluster.deadline import Deadlines\n"
        "deadlines = Deadlines()\n"
        "def busy():\n"
        f"    {work}\n"
        "with deadlines.within(60), deadlines.within(0.3):\n"
        "    busy()\n"
        "time.sleep(0.5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode != 0, "in busy" in done.stderr) == (is_ended, is_ended)


def test_a_scheduler_that_loads_the_task_loads_none_of_the_engines_libraries() -> None:
    code = "import sys, services.processor.cluster.call, console.profile.task; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"polars", "pyarrow", "obstore", "pydantic"} & set(found.stdout.split())
