"""Ends a run: checks, verdict, listing, completion, in this order."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from services.quality.checks import Checks
from services.quality.domain.books import summarize
from services.quality.domain.listing import listing
from services.quality.domain.verdict import complete
from services.quality.repository.completions import CompletionRepository, Decider
from shared import crashpoints
from shared.batches.batches import scratch_folder
from shared.bus.record import Outgoing
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events import topics
from shared.events.models import RunCompleted, RunDrained
from shared.events.reasons import Reason
from shared.observability.logging import get_logger
from shared.observability.metrics import CHECKS_FAILED, RUN_SECONDS, RUNS_COMPLETED
from shared.storage import keys
from shared.storage.object_store import ObjectStore

log = get_logger()


class CompletionService:
    def __init__(
        self,
        completions: CompletionRepository,
        checks: Checks,
        lake: ObjectStore,
        catalog: Mapping[str, Dataset],
    ) -> None:
        self._completions = completions
        self._checks = checks
        self._lake = lake
        self._catalog = catalog

    async def complete(self, drained: RunDrained, decider: Decider) -> Sequence[Outgoing]:
        """The run's `run.completed`, or nothing if another record has decided.

        The verdict is written once, before the listing that is made of it; a crash anywhere leads to the same
        verdict, the same listing and the same event. Raises `PermanentError` (`schema`) for a run that is not
        drained in the ledger; `DatabaseUnavailableError` and `StorageUnavailableError` in an outage.
        """
        run_id = drained.run_id
        state = await self._completions.state(run_id)
        if state is None or not state.drained:
            raise PermanentError(Reason.SCHEMA, f"run {run_id} is not drained")
        if state.completed_by is not None and state.completed_by != decider:
            log.info("completion_dropped", decided_by=state.completed_by.offset)
            return ()
        completed = await self._completions.verdict(run_id) or await self._decide(run_id)
        if state.completed_by is None:
            crashpoints.reach("quality.checked")
            await self._write_listing(completed)
            crashpoints.reach("quality.listed")
            if not await self._completions.complete(completed, decider):
                return await self.complete(drained, decider)  # someone was first: the row is there now
            _count(completed)
        crashpoints.reach("quality.completed")
        return (Outgoing(topics.RUN_COMPLETED, run_id, completed),)

    async def _decide(self, run_id: str) -> RunCompleted:
        facts = await self._completions.facts(run_id)
        loaded = {name: books.rows_loaded for name, books in summarize(facts).items()}
        checks = await self._checks.run(run_id, loaded)
        ratios = {name: self._max_rejected_ratio(name) for name in loaded}
        return await self._completions.decide(
            complete(facts, checks, ratios, await self._completions.clock())
        )

    def _max_rejected_ratio(self, name: str) -> float:
        if name in self._catalog:
            return self._catalog[name].max_rejected_ratio
        default: float = Dataset.model_fields["max_rejected_ratio"].default
        return default

    async def _write_listing(self, completed: RunCompleted) -> None:
        with scratch_folder() as folder:
            file = folder / "listing.json"
            await self._assemble(completed, file)
            await self._lake.put(keys.listing_key(completed.run_id), file)

    async def _assemble(self, completed: RunCompleted, target: Path) -> None:
        with target.open("wb") as file:
            async for piece in listing(completed, self._completions.files(completed.run_id)):
                file.write(piece)


def _count(completed: RunCompleted) -> None:
    RUNS_COMPLETED.labels(completed.status).inc()
    RUN_SECONDS.observe(max(0.0, (completed.finished_at - completed.requested_at).total_seconds()))
    for check in completed.checks:
        if not check.passed:
            CHECKS_FAILED.labels(check.dataset, check.severity).inc()
    log.info("run_completed", status=completed.status, reason=completed.reason)
