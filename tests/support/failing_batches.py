"""Batches that fail at a chosen stage: their manifests name artifacts that are not there."""

from datetime import UTC, datetime
from typing import Literal

from shared.bus.messages import Outgoing
from shared.events import ids, topics
from shared.events.decode import encode
from shared.events.models import Artifact, BatchManifest, Counts, CrawlPlanned, CrawlRequest
from shared.events.topology import Stage
from shared.storage import keys
from tests.support.pipeline import Pipeline

DATASET = "photos"
ROWS = 5

Death = Literal["processor", "late", "bare"]
"""At the processor; at every stage after it for want of the artifact; the same because the manifest names none."""


async def commit_failing_batch(pipeline: Pipeline, run_id: str, death: Death) -> None:
    """A run of one batch that dies, complete from request to manifest, as if its artifacts had been lost."""
    now = datetime.now(UTC)
    request = CrawlRequest(run_id=run_id, datasets=(DATASET,), requested_at=now, formats=("csv",))
    planned = CrawlPlanned(
        run_id=run_id,
        dataset=DATASET,
        batches=1,
        rows=ROWS,
        requested_at=now,
        request=request,
        produced_at=now,
    )
    crawled = _manifest(pipeline, run_id, "crawler", "jsonl.zst", now)
    _put(pipeline, keys.request_key(run_id), encode(request))
    _put(pipeline, keys.manifest_key(run_id, DATASET, "crawler", crawled.batch_id), encode(crawled))
    if death != "processor":
        processed = _manifest(pipeline, run_id, "processor", "parquet", now)
        if death == "bare":
            processed = processed.model_copy(update={"artifacts": ()})
        _put(pipeline, keys.manifest_key(run_id, DATASET, "processor", crawled.batch_id), encode(processed))
    for event in (
        Outgoing(topics.CRAWL_PLANNED, run_id, planned),
        Outgoing(topics.BATCH_CRAWLED, crawled.batch_id, crawled),
    ):
        await pipeline.publish(event.topic, encode(event.event), key=event.key.encode())


def _manifest(pipeline: Pipeline, run_id: str, stage: Stage, extension: str, now: datetime) -> BatchManifest:
    batch_id = ids.batch_id(run_id, DATASET, 0)
    key = keys.artifact_key(run_id, DATASET, stage, "0" * 64, extension)
    lost = Artifact(
        uri=f"s3://{pipeline.staging_bucket}/{key}", format=extension, rows=ROWS, bytes=100, sha256="0" * 64
    )
    return BatchManifest(
        run_id=run_id,
        dataset=DATASET,
        batch_id=batch_id,
        sequence=0,
        stage=stage,
        requested_at=now,
        artifacts=(lost,),
        counts=Counts(read=ROWS, accepted=ROWS),
        produced_at=now,
        code_version="test",
    )


def _put(pipeline: Pipeline, key: str, body: bytes) -> None:
    pipeline.s3.put_object(Bucket=pipeline.staging_bucket, Key=key, Body=body)
