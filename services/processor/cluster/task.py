"""What a worker of the cluster does with a batch. Nothing secret is in its arguments: a scheduler keeps and shows them."""

import asyncio
from dataclasses import dataclass, field

import structlog

from services.processor.cluster.deadline import Deadlines
from services.processor.cluster.outcome import Answer, Done, OtherVersions, Outage, Refused, encode_answer
from services.processor.cluster.wanted import TRANSFORMS, wanted_for
from services.processor.work import work_on
from shared.dask.versions import fingerprint, own_versions
from shared.datasets.model import Dataset
from shared.errors import PermanentError, TransientError
from shared.events.models import BatchManifest
from shared.observability.logging import get_logger
from shared.stages.artifacts import Artifacts
from shared.transforms.apply import Transformer

log = get_logger()


@dataclass(slots=True)
class _Place:
    artifacts: Artifacts | None = None
    transformer: Transformer = field(default_factory=Transformer)


_place = _Place()
_deadlines = Deadlines()


def prepare(artifacts: Artifacts, transformer: Transformer) -> None:
    """Gives the tasks of this process their access to staging, and the secret of masks, by the process's own settings."""
    _place.artifacts, _place.transformer = artifacts, transformer


def run_batch(crawled: bytes, dataset: bytes, wanted: str, limit_s: float) -> bytes:
    """The encoded answer. Reads the batch's files from staging and stores what they become; commits nothing.

    The process ends where that takes longer than `limit_s`: a thread cannot be stopped in any other way.
    """
    if _place.artifacts is None:
        return encode_answer(Outage(text="this worker was not started as a worker of OnPoint"))
    found = Dataset.model_validate_json(dataset) if wanted.startswith(fingerprint(own_versions())) else None
    if found is None or wanted_for(found, own_versions(), _place.transformer) != wanted:
        versions = {**own_versions(), TRANSFORMS: _place.transformer.digest}
        return encode_answer(OtherVersions(versions=versions))
    manifest = BatchManifest.model_validate_json(crawled)
    with (
        structlog.contextvars.bound_contextvars(run_id=manifest.run_id, batch_id=manifest.batch_id),
        _deadlines.within(limit_s),
    ):
        answer = _answer(_place.artifacts, _place.transformer, manifest, found)
        log.info("batch_worked", outcome=answer.kind)
        return encode_answer(answer)


def _answer(
    artifacts: Artifacts, transformer: Transformer, crawled: BatchManifest, dataset: Dataset
) -> Answer:
    try:
        processed = asyncio.run(work_on(artifacts, transformer, crawled, dataset))
    except PermanentError as error:
        return Refused(reason=error.reason, text=_sendable(error))
    except TransientError as error:
        return Outage(text=_sendable(error))
    return Done(artifacts=processed.artifacts, cleaned=processed.cleaned)


def _sendable(error: Exception) -> str:
    """Without lone surrogates, which JSON cannot carry."""
    return str(error).encode("utf-8", "replace").decode()
