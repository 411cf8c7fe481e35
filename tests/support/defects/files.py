"""Single defects of objects, of names, and of what is listed."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from tests.support.damaged_stack import DamagedStack, Defects

RESULTS = "onpoint_runs.results"

defect = Defects()


def _flip(place: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = place % len(data)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return change


def _damage(title: str, stage: str, form: str, change: Callable[[bytes], bytes]) -> None:
    @defect("I3", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        uri = await target.file(stage, form)
        async with target.damaged(uri, change):
            yield uri


_damage("a bit of a raw artifact is flipped", "crawler", "jsonl.zst", _flip(200))
_damage("a bit of a request log is flipped", "crawler", "requests.jsonl.zst", _flip(30))
_damage("a bit of a clean artifact is flipped", "processor", "parquet", _flip(-40))
_damage("a bit of a quarantine is flipped", "processor", "quarantine.jsonl.zst", _flip(20))
_damage("a bit of a lake object is flipped", "s3sink", "parquet", _flip(1000))
_damage("a bit of an export is flipped", "converter", "csv.gz", _flip(100))
_damage("a lake object is cut off", "s3sink", "parquet", lambda data: data[:-1])
_damage("a lake object is another", "s3sink", "parquet", lambda data: data[::-1])
_damage("an export has a byte more", "converter", "parquet", lambda data: data + b"\0")


def _deletion(title: str, stage: str, form: str) -> None:
    @defect("I3", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        uri = await target.file(stage, form)
        async with target.put(uri, None):
            yield uri


_deletion("a raw artifact is gone", "crawler", "jsonl.zst")
_deletion("a lake object is gone", "s3sink", "parquet")
_deletion("an export is gone", "converter", "parquet")


@defect("I3", "most artifacts of a run are gone, though no sweep removed them")
async def mostly_gone(target: DamagedStack) -> AsyncIterator[str]:
    async with AsyncExitStack() as stack:
        for stage, form in (
            ("crawler", "jsonl.zst"),
            ("crawler", "requests.jsonl.zst"),
            ("processor", "parquet"),
        ):
            uri = await target.file(stage, form)
            await stack.enter_async_context(target.put(uri, None))
        yield uri


def _combined(title: str, change: Callable[[bytes], bytes] | None) -> None:
    @defect("I3", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        uri = target.pipeline.listing("early")["datasets"]["late"]["combined"][0]["uri"]
        async with target.put(uri, None) if change is None else target.damaged(uri, change):
            yield uri


_combined("a bit of a combined export is flipped", _flip(-9))
_combined("a combined export is gone", None)


def _orphan(title: str, bucket: str, key: str) -> None:
    @defect("I3", title, sweep_age=timedelta(0))
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        uri = f"s3://{getattr(target.pipeline, bucket)}/{key}"
        async with target.put(uri, b"orphan"):
            yield uri


_orphan(
    "an artifact that no manifest names", "staging_bucket", f"runs/first/posts/processor/{'0' * 64}.parquet"
)
_orphan("an artifact of an unknown run", "staging_bucket", f"runs/x/posts/crawler/{'0' * 64}.jsonl.zst")
_orphan(
    "a lake object that no listing names", "lake_bucket", "posts/year=2026/month=01/day=01/hour=00/x.parquet"
)
_orphan("an export that nothing names", "lake_bucket", "exports/first/posts/csv/x.csv.gz")
_orphan(
    "a combined export that nothing names",
    "lake_bucket",
    f"exports/early/late/csv/combined/000007-{'0' * 64}.csv.gz",
)
_orphan("a listing of an unknown run", "lake_bucket", "_runs/x.json")


@defect("I3", "an upload was never finished", sweep_age=timedelta(0))
async def open_upload(target: DamagedStack) -> AsyncIterator[str]:
    s3, where = target.pipeline.s3, {"Bucket": target.pipeline.lake_bucket, "Key": "posts/open.parquet"}
    upload = s3.create_multipart_upload(**where)["UploadId"]
    yield "posts/open.parquet"
    s3.abort_multipart_upload(**where, UploadId=upload)


@defect("I3", "the ledger has another row count than the file")
async def other_rows(target: DamagedStack) -> AsyncIterator[str]:
    uri = await target.file("s3sink", "parquet")
    listing = f"s3://{target.pipeline.lake_bucket}/_runs/first.json"
    change = _listing(lambda posts: posts["objects"][0].update(rows=1))
    async with target.altered(
        RESULTS,
        f"UPDATE {RESULTS} SET artifacts = jsonb_set(artifacts, '{{0,rows}}', '1') "
        "WHERE (run_id, dataset, stage) = ('first', 'posts', 's3sink')",
    ), target.damaged(listing, change):  # fmt: skip
        yield uri


def _listing(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def anew(data: bytes) -> bytes:
        document = json.loads(data)
        change(document["datasets"]["posts"])
        return json.dumps(document).encode()

    return anew


def _listed(title: str, change: Callable[[dict[str, Any]], Any]) -> None:
    @defect("I4", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        async with target.damaged(f"s3://{target.pipeline.lake_bucket}/_runs/first.json", _listing(change)):
            yield "_runs/first.json"


_listed("a listing lacks an object", lambda posts: posts["objects"].pop())
_listed("a listing lacks an export", lambda posts: posts["exports"].pop())
_listed("a listing names an object twice", lambda posts: posts["objects"].append(posts["objects"][0]))
_listed("a listing has another size", lambda posts: posts["objects"][0].update(bytes=1))


@defect("I4", "a listing lacks a combined export")
async def uncombined(target: DamagedStack) -> AsyncIterator[str]:
    def change(data: bytes) -> bytes:
        document = json.loads(data)
        document["datasets"]["late"]["combined"].pop()
        return json.dumps(document).encode()

    async with target.damaged(f"s3://{target.pipeline.lake_bucket}/_runs/early.json", change):
        yield "_runs/early.json"


@defect("I4", "a listing is not there")
async def unlisted(target: DamagedStack) -> AsyncIterator[str]:
    async with target.put(f"s3://{target.pipeline.lake_bucket}/_runs/second.json", None):
        yield "_runs/second.json"


def _changed_listing(title: str, run_id: str, **fields: str) -> None:
    @defect("I4", title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        def change(data: bytes) -> bytes:
            return json.dumps({**json.loads(data), **fields}).encode()

        async with target.damaged(f"s3://{target.pipeline.lake_bucket}/_runs/{run_id}.json", change):
            yield f"_runs/{run_id}.json"


_changed_listing("a listing has another status", "second", status="failed")
_changed_listing("a listing does not name the run that superseded it", "first", superseded_by="second")


@defect("I1", "what a listing lacks is not in the lake")
async def not_in_the_lake(target: DamagedStack) -> AsyncIterator[str]:
    change = _listing(lambda posts: posts["objects"].clear())
    async with target.damaged(f"s3://{target.pipeline.lake_bucket}/_runs/first.json", change):
        yield "posts id=17"


@defect("I9", "a batch has the id of none")
async def underived_batch(target: DamagedStack) -> AsyncIterator[str]:
    async with target.altered(
        RESULTS,
        f"UPDATE {RESULTS} SET batch_id = repeat('a', 32) WHERE batch_id = $1 AND stage = 'loader'",
        await target.batch(),
    ):
        yield "a" * 32


@defect("I9", "a lake object has another name than its batches give")
async def underived_object(target: DamagedStack) -> AsyncIterator[str]:
    objects = "onpoint_lake.objects"
    async with target.altered(
        objects,
        f"UPDATE {objects} SET batch_ids = batch_ids || 'x'::text WHERE run_id = 'first' AND dataset = 'posts'",
    ):
        yield "of first/posts"


@defect("I9", "an artifact has the name of other bytes")
async def underived_artifact(target: DamagedStack) -> AsyncIterator[str]:
    async with target.altered(
        RESULTS,
        f"UPDATE {RESULTS} SET artifacts = jsonb_set(artifacts, '{{0,sha256}}', to_jsonb(repeat('b', 64))) "
        "WHERE (run_id, dataset, stage) = ('first', 'posts', 'processor')",
    ):
        yield await target.file("processor", "parquet")
