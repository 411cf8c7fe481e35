"""Finishes what is assigned: writes objects, publishes the results of their batches. The only place where that happens."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog
from aiokafka.errors import KafkaError

from services.s3sink.adapters.arrange import TooManyFilesError
from services.s3sink.adapters.claim import Claim
from services.s3sink.adapters.repository import SinkRepository
from services.s3sink.adapters.writer import ObjectWriter
from services.s3sink.domain import stored
from services.s3sink.errors import BatchUnusableError
from services.s3sink.service import SinkService
from shared.bus.delivery import MAX_TRIES, POISONED_PRODUCER
from shared.bus.messages import Publish, Record
from shared.errors import PermanentError, TransientError
from shared.events.models import BatchManifest
from shared.lake.tables.errors import TableRefusedError, TableUnavailableError
from shared.observability.logging import get_logger
from shared.observability.metrics import BATCH_CPU_SECONDS, STAGE_BATCHES, STAGE_BYTES, STAGE_ROWS
from shared.postgres.errors import StatementFailedError
from shared.reasons import Reason
from shared.runtime.background import Outage
from shared.runtime.busy import busy, cpu_ms
from shared.stages.counting import count_batch
from shared.stages.failures import dead_manifest
from shared.stages.messages import result_event
from shared.version import CODE_VERSION

IDLE_S = 1.0
"""The longest wait between two steps, for batches that reached their age and objects that another replica left."""

RETRY_DELAY_S = 1.0
"""Times the number of tries so far, before an object that failed is tried again."""

MOST_DELAY_S = 60.0
"""Before an object that its table does not take is tried again."""

SendDeadLetter = Callable[[Record, PermanentError], Awaitable[None]]
"""Acked when it returns."""

log = get_logger()


class SinkLoop:
    def __init__(
        self,
        repository: SinkRepository,
        service: SinkService,
        writer: ObjectWriter,
        publish: Publish,
        send_dead_letter: SendDeadLetter,
        woken: asyncio.Event,
        *,
        retry_delay_s: float = RETRY_DELAY_S,
    ) -> None:
        self._repository = repository
        self._service = service
        self._writer = writer
        self._publish = publish
        self._send_dead_letter = send_dead_letter
        self._woken = woken
        self._retry_delay_s = retry_delay_s
        self._tries: dict[str, int] = {}
        self._waits: dict[str, int] = {}
        """For their tables."""
        self._backing_off_until: dict[str, float] = {}

    async def run(self) -> None:
        """Never returns. In an outage of Kafka, PostgreSQL or S3 it logs once, backs off and resumes.

        Raises only what a new process must cure: a producer that the broker refuses for good.
        """
        outage = Outage("sink_paused", "sink_resumed", work="the writing of lake objects")
        while True:
            self._woken.clear()
            try:
                is_busy = await self.turn()
            except POISONED_PRODUCER:
                raise
            except (TransientError, StatementFailedError, KafkaError) as error:
                await outage.wait(error)
                continue
            outage.end()
            if not is_busy:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), IDLE_S)

    async def turn(self) -> bool:
        """One step: assigns what is due, publishes dead batches, takes one object further. False: there was none."""
        await self._service.assign_due()
        await self._publish_dead_batches()
        async with self._repository.claim(self._backing_off()) as claim:
            if claim is None:
                return False
            with busy(), structlog.contextvars.bound_contextvars(run_id=claim.run_id, object=claim.name):
                await self._finish(claim)
        return True

    async def _finish(self, claim: Claim) -> None:
        batches = await claim.batches()
        if len(batches) < len(claim.batch_ids):
            return  # undone by another replica since it was claimed
        if claim.lake is None and not await self._write(claim, batches):
            return
        if not await self._commit(claim, batches):
            return
        results = [stored(batch, claim.lake, code_version=CODE_VERSION) for batch in batches]
        await self._publish([result_event(result) for result in results])
        await claim.mark_published()
        self._tries.pop(claim.name, None)
        rows = sum(result.counts.accepted for result in results)
        STAGE_ROWS.labels("s3sink", claim.dataset, "accepted").inc(rows)
        STAGE_BATCHES.labels("s3sink", claim.dataset, "done").inc(len(results))
        read = sum(artifact.bytes for batch in batches for artifact in batch.artifacts)
        STAGE_BYTES.labels("s3sink", claim.dataset, "read").inc(read)
        STAGE_BYTES.labels("s3sink", claim.dataset, "written").inc(claim.lake.bytes if claim.lake else 0)
        BATCH_CPU_SECONDS.labels("s3sink", claim.dataset).inc((cpu_ms() or 0) / 1000)
        log.info(
            "object_stored", batches=len(results), rows=rows, bytes=claim.lake.bytes if claim.lake else 0
        )

    async def _write(self, claim: Claim, batches: list[BatchManifest]) -> bool:
        try:
            return await self._writer.write(claim, batches)
        except BatchUnusableError as unusable:
            await self._mark_failed(claim, unusable.batch, unusable.error)
        except TableUnavailableError as error:
            self._put_off(claim, error)
        except TransientError:
            raise
        except TooManyFilesError as error:
            await self._give_up(claim, batches, PermanentError(Reason.SCHEMA, str(error)[:1000]))
        except TableRefusedError as error:
            await self._give_up(claim, batches, error)
        except Exception as error:  # noqa: BLE001 - one object must not stop the others; it is counted and logged
            await self._failed(claim, batches, error)
        return False

    async def _commit(self, claim: Claim, batches: list[BatchManifest]) -> bool:
        """False: later. What is durable is never given up, whatever its table has against it."""
        try:
            await self._writer.commit(claim, batches)
        except TableUnavailableError as error:
            self._put_off(claim, error)
            return False
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - one object must not stop the others; it is logged
            self._put_off(claim, error)
            return False
        self._waits.pop(claim.name, None)
        return True

    def _put_off(self, claim: Claim, error: Exception) -> None:
        """The object waits for its table, longer each time; those of other datasets go on."""
        waits = self._waits[claim.name] = self._waits.get(claim.name, 0) + 1
        if isinstance(error, TableUnavailableError):
            log.warning("table_unavailable", tries=waits, error=str(error))
        else:
            log.error("table_commit_failed", tries=waits, exc_info=error)
        delay_s = min(self._retry_delay_s * waits**2, MOST_DELAY_S)
        self._backing_off_until[claim.name] = time.monotonic() + delay_s

    async def _failed(self, claim: Claim, batches: list[BatchManifest], error: Exception) -> None:
        """An error of unknown kind: the object is tried again, then each batch alone, then the batch is dead."""
        tries = self._tries[claim.name] = self._tries.get(claim.name, 0) + 1
        log.warning("object_failed", tries=tries, exc_info=error)
        if tries < MAX_TRIES:
            self._backing_off_until[claim.name] = time.monotonic() + self._retry_delay_s * tries
            return
        del self._tries[claim.name]
        permanent = PermanentError(Reason.HANDLER, f"{type(error).__name__}: {error}"[:1000])
        await self._give_up(claim, batches, permanent)

    async def _give_up(self, claim: Claim, batches: list[BatchManifest], error: PermanentError) -> None:
        """Each batch is tried alone, and one that was alone is dead."""
        if len(batches) > 1:
            await claim.split(batches)
        else:
            await self._mark_failed(claim, batches[0], error)

    async def _mark_failed(self, claim: Claim, batch: BatchManifest, error: PermanentError) -> None:
        dead = dead_manifest(batch, "s3sink", error)
        if await claim.mark_failed(dead):
            count_batch(dead)
            log.error("batch_dead", batch_id=batch.batch_id, reason=error.reason, detail=str(error))

    async def _publish_dead_batches(self) -> None:
        dead = await self._repository.unpublished_dead_batches()
        for batch in dead:
            if batch.record is not None:
                reason, detail = batch.result.reason or Reason.HANDLER, batch.result.detail or ""
                await self._send_dead_letter(batch.record, PermanentError(reason, detail))
        if dead:
            await self._publish([result_event(batch.result) for batch in dead])
            await self._repository.mark_dead_published([batch.result.batch_id for batch in dead])

    def _backing_off(self) -> list[str]:
        now = time.monotonic()
        self._backing_off_until = {
            name: until for name, until in self._backing_off_until.items() if until > now
        }
        return list(self._backing_off_until)
