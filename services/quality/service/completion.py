"""Ends a run: checks, verdict, listing, completion, in this order."""

from collections.abc import Callable, Sequence

from services.quality.adapters.completions import CompletionRepository, DecidingRecord, RunState
from services.quality.domain.row_accounting import mismatches, summarize
from services.quality.domain.verdict import Terms, complete, failed_completion
from services.quality.service.checks import Checks
from services.quality.service.combinations import Combinations
from services.quality.service.listings import Listings
from shared import crashpoints
from shared.bus.messages import Outgoing
from shared.datasets.frozen import RunDatasets
from shared.errors import PermanentError, TransientError
from shared.events import topics
from shared.events.models import CheckResult, RunCompleted, RunDrained
from shared.events.topology import stages_of
from shared.observability.logging import get_logger
from shared.observability.metrics import CHECKS_FAILED, RUN_SECONDS, RUNS_COMPLETED, RUNS_UNBALANCED
from shared.reasons import Reason

log = get_logger()


def _tell_nobody(_: RunCompleted) -> None:
    """Of runs that have ended."""


class NotDrainedError(PermanentError):
    """The run is running or unknown: its record came too early, or another program wrote it."""

    def __init__(self, run_id: str) -> None:
        super().__init__(Reason.SCHEMA, f"run {run_id} is not drained")


class CompletionService:
    """Raises `DatabaseUnavailableError` and `StorageUnavailableError` in an outage."""

    def __init__(
        self,
        completions: CompletionRepository,
        listings: Listings,
        checks: Checks,
        datasets: RunDatasets,
        combinations: Combinations,
        on_end: Callable[[RunCompleted], None] = _tell_nobody,
    ) -> None:
        """`on_end` hears of each run that this process ends; it must neither wait nor raise."""
        self._completions = completions
        self._listings = listings
        self._checks = checks
        self._datasets = datasets
        self._combinations = combinations
        self._on_end = on_end

    async def complete(self, drained: RunDrained, deciding: DecidingRecord) -> Sequence[Outgoing]:
        """The run's `run.completed`, and requests to combine its exports where its datasets ask for it.

        Nothing if another record has decided or a batch was redriven meanwhile.

        The verdict is written once, before the listing that is made of it; a crash anywhere leads to the same
        verdict and the same event. Raises `NotDrainedError` for a run that is not drained in the ledger.
        """
        run_id = drained.run_id
        state = await self._completions.state(run_id)
        if state is None or not state.drained:
            raise NotDrainedError(run_id)
        if state.completed_by is not None and state.completed_by != deciding:
            log.info("completion_dropped", decided_by=state.completed_by.offset)
            return ()
        completed = await self._completions.verdict(run_id) or await self._decide(run_id)
        if completed is None:
            log.info("completion_deferred")
            await self._completions.republish_drained(run_id)
            return ()
        if state.completed_by is None:
            crashpoints.reach("quality.checked")
            listed = await self._listings.write(completed)
            crashpoints.reach("quality.listed")
            if not await self._completions.complete(completed, deciding, listed):
                await self._listings.written(run_id, listed)
                return await self.complete(
                    drained, deciding
                )  # another record was first: its row is there now
            _count(completed)
            self._on_end(completed)
        crashpoints.reach("quality.completed")
        combinations: Sequence[Outgoing] = ()
        if completed.status != "cancelled":
            combinations = await self._combinations.requests(run_id, completed.datasets)
        return (Outgoing(topics.RUN_COMPLETED, run_id, completed), *combinations)

    async def fail(
        self, drained: RunDrained, deciding: DecidingRecord, error: PermanentError
    ) -> Sequence[Outgoing]:
        """As `complete`, for a run whose record ran out of tries: it ends as failed, so that no client waits for it."""
        run_id = drained.run_id
        state = await self._completions.state(run_id)
        if state is None or not state.drained:
            return ()
        if state.completed_by is None:
            failed = failed_completion(await self._whatever_is_known(run_id, state), str(error))
            if not await self._completions.fail(failed, deciding):
                return await self.fail(drained, deciding, error)
            _count(failed)
            self._on_end(failed)
        elif state.completed_by != deciding:
            return ()
        await self._list_if_possible(run_id)
        completed = await self._completions.verdict(run_id)
        return () if completed is None else (Outgoing(topics.RUN_COMPLETED, run_id, completed),)

    async def _decide(self, run_id: str) -> RunCompleted | None:
        verdict = await self._evaluate(run_id, run_checks=True)
        return None if verdict is None else await self._completions.decide(verdict)

    async def _evaluate(self, run_id: str, *, run_checks: bool) -> RunCompleted | None:
        """The run's completion by the ledger's facts; None while a redriven batch is not at its end."""
        facts = await self._completions.facts(run_id)
        if facts is None:
            return None
        delivered = {
            # A row that a later run had loaded before is in the table as well: this run's rows did arrive.
            name: summary.rows_loaded + summary.rows_superseded
            for name, summary in summarize(facts).items()
        }
        datasets = await self._datasets.find_all(run_id, delivered)
        checks: list[CheckResult] = []
        if run_checks and "loader" in facts.stages:
            checks = await self._checks.run(run_id, delivered, datasets)
        terms = {name: Terms.of(dataset) for name, dataset in datasets.items()}
        return complete(facts, checks, terms, await self._completions.clock())

    async def _whatever_is_known(self, run_id: str, state: RunState) -> RunCompleted:
        try:
            if (known := await self._evaluate(run_id, run_checks=False)) is not None:
                return known
        except TransientError:
            raise
        except Exception:
            log.exception("facts_unknown")
        return RunCompleted(
            run_id=run_id,
            status="failed",
            reason=None,
            requested_at=state.requested_at,
            started_at=state.started_at,
            finished_at=await self._completions.clock(),
            datasets={},
        )

    async def _list_if_possible(self, run_id: str) -> None:
        """Writes the listing before the event. A listing that cannot be written does not keep the run open."""
        try:
            await self._listings.rewrite(run_id)
        except TransientError:
            raise
        except Exception:
            log.exception("listing_failed")


def _count(completed: RunCompleted) -> None:
    RUNS_COMPLETED.labels(completed.status).inc()
    RUN_SECONDS.observe(max(0.0, (completed.finished_at - completed.requested_at).total_seconds()))
    if mismatches(completed.datasets, stages_of(completed.from_stage)):
        RUNS_UNBALANCED.inc()
    for check in completed.checks:
        if not check.passed:
            CHECKS_FAILED.labels(check.dataset, check.severity).inc()
    log.info("run_completed", status=completed.status, reason=completed.reason)
