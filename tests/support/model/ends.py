"""The two ends of the pipeline in memory: the lake sink and the run ledger, on their own pure rules."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from services.quality.domain.row_accounting import DatasetPlan, RunFacts, StageTotals, mismatches, summarize
from services.quality.domain.verdict import Terms, complete
from services.s3sink.domain import LakeFile, LakeObject, Limits, Pending, object_name, pack_objects, stored
from shared.bus.messages import Outgoing, Record
from shared.errors import PermanentError
from shared.events import topics
from shared.events.decode import decode_event
from shared.events.models import BatchManifest, RunCompleted, RunDrained, RunSealed
from shared.events.topology import Stage
from shared.reasons import Reason
from shared.stages.failures import BatchDeadError, dead_manifest
from shared.stages.messages import result_event
from tests.support.model.world import ACCEPTED, DATASET, NOW, READ, RUN, Steps, World

BYTES = 100
LIMITS = Limits(target_bytes=2 * BYTES, most_bytes=3 * BYTES, age_s=60, target_rows=500_000)
"""Two batches fill an object."""


@dataclass
class BatchState:
    batch: BatchManifest
    status: Literal["pending", "assigned", "dead"]
    object_name: str | None = None
    result: BatchManifest | None = None


@dataclass
class Assigned:
    batch_ids: list[str]
    state: Literal["assigned", "written", "announced"] = "assigned"
    lake: LakeObject | None = None


@dataclass
class Sink:
    world: World
    states: dict[str, BatchState] = field(default_factory=dict)
    objects: dict[str, Assigned] = field(default_factory=dict)
    lake: dict[str, list[str]] = field(default_factory=dict)
    """Name to the batches whose rows are in it."""
    seal: int | None = None

    async def accept(self, record: Record) -> Steps:
        if record.topic == topics.RUN_SEALED:
            sealed = decode_event(RunSealed, record.value)
            self.seal = sealed.batches.get(DATASET, 0) if self.seal is None else self.seal
            yield "sealed"
            self.assign()
            yield "assigned"
            return
        batch = decode_event(BatchManifest, record.value)
        if batch.batch_id not in self.states:
            await self.world.staging["converter"].refuse_cancelled(RUN)
            self.world.refuse_poison("s3sink", batch.batch_id)
            yield "accepting"
            self.states.setdefault(batch.batch_id, BatchState(batch, "pending"))
            yield "accepted"
        state = self.states[batch.batch_id]
        if state.status == "dead":
            raise BatchDeadError(Reason.SCHEMA, "dead")
        entry = self.objects.get(state.object_name or "")
        if entry is not None and entry.state == "announced":
            self.world.bus.publish(result_event(stored(state.batch, entry.lake, code_version="")))
        self.assign()
        yield "assigned"

    async def mark_failed(self, record: Record, error: PermanentError) -> Steps:
        batch = decode_event(BatchManifest, record.value)
        dead = dead_manifest(batch, "s3sink", error)
        state = self.states.setdefault(batch.batch_id, BatchState(batch, "dead", result=dead))
        yield "died"
        if state.status != "dead" or state.result is None:
            return  # it was accepted before, and that stands
        if error.reason is not Reason.CANCELLED:
            self.world.bus.dead_letters.append(("s3sink", record))
            yield "dead letter written"
        self.world.bus.publish(result_event(state.result))
        yield "published"

    def redrive(self, record: Record) -> None:
        batch_id = decode_event(BatchManifest, record.value).batch_id
        if batch_id in self.states and self.states[batch_id].status == "dead":
            del self.states[batch_id]
            if self.seal is not None:
                self.seal = max(0, self.seal - 1)

    def assign(self, *, is_old: bool = False) -> None:
        """One transaction."""
        waiting = sorted(
            (state for state in self.states.values() if state.status == "pending"),
            key=lambda state: state.batch.sequence,
        )
        pending = [Pending(state.batch.batch_id, BYTES, is_old) for state in waiting]
        is_complete = self.seal is not None and len(self.states) >= self.seal
        for group in pack_objects(pending, LIMITS, ratio=1.0, is_complete=is_complete):
            batch_ids = [batch.batch_id for batch in group]
            name = object_name(RUN, DATASET, batch_ids)
            self.objects[name] = Assigned(batch_ids)
            for batch_id in batch_ids:
                self.states[batch_id].status, self.states[batch_id].object_name = "assigned", name

    async def finish(self, name: str) -> Steps:
        """Writes an object that is not published, as the loop does."""
        entry = self.objects[name]
        if entry.lake is None:
            rows = ACCEPTED * len(entry.batch_ids)
            self.lake[name] = list(entry.batch_ids)
            yield "put"
            file = LakeFile(f"memory://lake/{name}", rows, BYTES, "0" * 64, frozenset(entry.batch_ids))
            entry.lake = entry.lake or LakeObject((file,), self.world.now())
            entry.state = "written" if entry.state == "assigned" else entry.state
            yield "written"
        for batch_id in entry.batch_ids:
            self.world.bus.publish(
                result_event(stored(self.states[batch_id].batch, entry.lake, code_version=""))
            )
            yield "published"
        entry.state = "announced"
        yield "published"


@dataclass
class Quality:
    world: World
    results: dict[str, dict[Stage, BatchManifest]] = field(default_factory=lambda: defaultdict(dict))
    planned: int | None = None
    milestones: dict[str, Literal["assigned", "announced"]] = field(default_factory=dict)
    verdict: RunCompleted | None = None
    decided_by: int | None = None
    completions: list[RunCompleted] = field(default_factory=list)
    """As a consumer with `read_committed` sees them."""

    async def record(self, record: Record) -> Steps:
        if record.topic == topics.RUN_DRAINED:
            async for step in self._complete(record):
                yield step
            return
        if record.topic == topics.CRAWL_PLANNED:
            self.planned = self.world.batches
        else:
            self._keep(decode_event(BatchManifest, record.value))
        yield "recorded"
        reached = [kind for kind in ("sealed", "drained") if self._assign(kind)]
        yield "assigned"
        for kind in reached:
            self.publish_milestone(kind)
            yield "published"
            self.milestones[kind] = "announced"
        yield "published"

    def publish_milestone(self, kind: str) -> None:
        event: RunSealed | RunDrained = RunDrained(run_id=RUN, requested_at=NOW)
        if kind == "sealed":
            processed = sum(1 for stages in self.results.values() if _is(stages, "processor", "done"))
            event = RunSealed(run_id=RUN, requested_at=NOW, batches={DATASET: processed})
        self.world.bus.publish(
            Outgoing(topics.RUN_SEALED if kind == "sealed" else topics.RUN_DRAINED, RUN, event)
        )

    def unpublished(self) -> list[str]:
        return [kind for kind, state in self.milestones.items() if state == "assigned"]

    def _keep(self, result: BatchManifest) -> None:
        there = self.results[result.batch_id].get(result.stage)
        if there is None or (
            there.status == "dead" and (result.status == "done" or result.produced_at > there.produced_at)
        ):
            self.results[result.batch_id][result.stage] = result

    def _assign(self, kind: str) -> bool:
        if kind in self.milestones or not self.reached(kind):
            return False
        self.milestones[kind] = "assigned"
        return True

    def reached(self, kind: str) -> bool:
        if self.planned is None:
            return False
        stages = [self.results.get(batch_id, {}) for batch_id in self.world.ids[: self.planned]]
        if kind == "sealed":
            return all(_is(found, "crawler", "dead") or "processor" in found for found in stages)
        return all(
            "crawler" in found
            and (
                _is(found, "processor", "dead")
                or ("processor" not in found and _is(found, "crawler", "dead"))
                or (_is(found, "processor", "done") and {"converter", "loader", "s3sink"} <= set(found))
            )
            for found in stages
        )

    async def _complete(self, record: Record) -> Steps:
        if self.decided_by is not None and self.decided_by != record.offset:
            return
        if self.decided_by is None and self.verdict is None:
            if not self.reached("drained"):
                self.milestones["drained"] = "assigned"
                yield "waits"
                return
            facts = self.facts()
            assert mismatches(summarize(facts)) == []
            self.verdict = complete(facts, [], {DATASET: Terms(1.0)}, NOW)
            yield "decided"
        assert self.verdict is not None
        yield "listed"
        if self.decided_by is None:
            self.decided_by = record.offset
        yield "completed"
        if self.decided_by == record.offset:
            self.world.transactions.append((record, self.verdict))
            yield "published"

    def facts(self) -> RunFacts:
        """As the ledger's SQL sums them up."""
        totals = [
            StageTotals(
                DATASET,
                stage,
                result.status,
                self._read(result, found),
                result.counts.accepted,
                result.counts.rejected,
                result.counts.deduplicated,
                result.counts.loaded,
                result.counts.superseded,
            )
            for found in self.results.values()
            for stage, result in found.items()
        ]
        dead = [r for found in self.results.values() for r in found.values() if r.status == "dead"]
        return RunFacts(
            run_id=RUN,
            requested_at=NOW,
            started_at=NOW,
            refused=None,
            plans={DATASET: DatasetPlan(self.world.batches, self.world.batches * READ)},
            totals=tuple(totals),
            files=(),
            dead_batches={DATASET: len({result.batch_id for result in dead})},
            cancelled=any(result.reason is Reason.CANCELLED for result in dead),
            dead=(),
            dead_total=len(dead),
            missing=(),
            missing_total=0,
        )

    def _read(self, result: BatchManifest, found: dict[Stage, BatchManifest]) -> int:
        parent: Stage = "crawler" if result.stage == "processor" else "processor"
        if result.status == "done" or result.stage == "crawler" or parent not in found:
            return result.counts.read
        return found[parent].counts.read if parent == "crawler" else found[parent].counts.accepted


def _is(found: dict[Stage, BatchManifest], stage: Stage, status: str) -> bool:
    return stage in found and found[stage].status == status
