"""What a run is, frozen in staging before its first batch is asked for: the first writer wins."""

import hashlib
from collections import OrderedDict

import orjson

from services.crawler.domain.plans import Plan
from shared import crashpoints
from shared.errors import TransientError
from shared.events.decode import decode_event, encode
from shared.events.models import Artifact, BatchManifest, CrawlRequest
from shared.events.topology import Stage
from shared.stages.results import parse_frozen
from shared.storage import keys
from shared.storage.errors import ObjectMissingError
from shared.storage.object_store import ObjectStore

PLANS_CACHED = 8
"""The longest hold a megabyte of ids."""


class FrozenRuns:
    """Requests and plans. Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore) -> None:
        self._staging = staging
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    async def freeze_request(self, request: CrawlRequest) -> CrawlRequest:
        """The request that counts for its run: the first that was frozen."""
        key = keys.request_key(request.run_id)
        winner = await self._freeze(key, encode(request))
        crashpoints.reach("crawler.request")
        return request if winner is None else parse_frozen(CrawlRequest, winner, key)

    async def freeze_plan(self, plan: Plan) -> Plan:
        """The plan that counts for its run and dataset."""
        key = keys.plan_key(plan.run_id, plan.dataset)
        winner = await self._freeze(key, plan.model_dump_json().encode())
        crashpoints.reach("crawler.plan")
        return self._remember(key, plan if winner is None else parse_frozen(Plan, winner, key))

    async def find_request(self, run_id: str) -> CrawlRequest | None:
        key = keys.request_key(run_id)
        found = await self._staging.get(key)
        return None if found is None else parse_frozen(CrawlRequest, found, key)

    async def replace_plan(self, plan: Plan) -> None:
        """For a replayed dead letter only: no other batch of the plan's kind may have been crawled by it."""
        await self._staging.put(keys.plan_key(plan.run_id, plan.dataset), plan.model_dump_json().encode())

    async def find_plan(self, run_id: str, dataset: str) -> Plan | None:
        key = keys.plan_key(run_id, dataset)
        if (cached := self._plans.get(key)) is not None:
            self._plans.move_to_end(key)
            return cached
        found = await self._staging.get(key)
        return None if found is None else self._remember(key, parse_frozen(Plan, found, key))

    async def keep_ids(self, run_id: str, dataset: str, lines: bytes) -> str:
        """Keeps a piece of a plan's ids, a line per batch; durable when it returns the hash that names it."""
        sha256 = hashlib.sha256(lines).hexdigest()
        await self._staging.put(keys.plan_piece_key(run_id, dataset, sha256), lines)
        return sha256

    async def ids_of(self, plan: Plan, sequence: int) -> list[int | str]:
        """The ids of a batch. Raises `ObjectMissingError` where their piece is gone."""
        if not plan.pieces:
            return plan.ids_of(sequence)
        piece = plan.piece_of(sequence)
        key = keys.plan_piece_key(plan.run_id, plan.dataset, piece.sha256)
        found = await self._staging.get(key)
        if found is None:
            raise ObjectMissingError(self._staging.uri(key))
        ids: list[int | str] = orjson.loads(found.split(b"\n")[sequence - piece.first])
        return ids

    async def plan(self, run_id: str, dataset: str) -> Plan:
        """Raises `ObjectMissingError` where there is none: batches are asked for after the plan is frozen."""
        found = await self.find_plan(run_id, dataset)
        if found is None:
            raise ObjectMissingError(self._staging.uri(keys.plan_key(run_id, dataset)))
        return found

    async def _freeze(self, key: str, value: bytes) -> bytes | None:
        """None when this call was the first, else what the first one wrote."""
        if await self._staging.create(key, value):
            return None
        winner = await self._staging.get(key)
        if winner is None:
            raise TransientError(f"{key} was there and is gone: staging is being swept")
        return winner

    def _remember(self, key: str, plan: Plan) -> Plan:
        if plan.failed is not None or plan.is_open:
            # A replayed dead letter may replace it: every process must see the new one.
            return plan
        self._plans[key] = plan
        if len(self._plans) > PLANS_CACHED:
            self._plans.popitem(last=False)
        return plan


class Archive:
    """What other runs left in staging. Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore) -> None:
        self._staging = staging

    async def result(self, run_id: str, dataset: str, stage: Stage, batch_id: str) -> BatchManifest | None:
        """A stage's result of a batch, done or dead. Raises `PermanentError` if somebody else wrote it."""
        found = await self._staging.get(keys.manifest_key(run_id, dataset, stage, batch_id))
        return None if found is None else decode_event(BatchManifest, found)

    async def batch_ids(self, run_id: str, dataset: str, stage: Stage) -> set[str]:
        """Batches of which the stage has a result. One listing of the stage's folder."""
        folder = keys.stage_prefix(run_id, dataset, stage)
        names = [info.key.rpartition("/")[2] async for info in self._staging.list(folder)]
        return {name.removesuffix(".json") for name in names if name.endswith(".json")}

    async def copy(self, owner: BatchManifest, artifact: Artifact, run_id: str) -> Artifact:
        """An artifact of `owner` as one of the crawler in another run: same bytes, same hash, copied by the store.

        Raises `ObjectMissingError`, and `PermanentError` (`schema`) for an object outside the owner's own dataset.
        """
        source = self._staging.key(artifact.uri, keys.dataset_prefix(owner.run_id, owner.dataset))
        target = keys.artifact_key(run_id, owner.dataset, "crawler", artifact.sha256, artifact.format)
        await self._staging.copy(source, target)
        return artifact.model_copy(update={"uri": self._staging.uri(target)})
