"""Requests and plans of runs in staging, stored before the first batch is requested: the first writer wins."""

import hashlib
from collections import OrderedDict
from typing import Any

import orjson

from services.crawler.domain.plans import CrawlPlan
from shared import crashpoints
from shared.errors import TransientError
from shared.events.decode import encode
from shared.events.models import CrawlRequest
from shared.stages.results import parse_stored
from shared.storage import keys
from shared.storage.errors import ObjectMissingError
from shared.storage.object_store import ObjectStore

PLANS_CACHED = 8
"""The longest has a megabyte of ids."""


class RunStore:
    """Every method raises `StorageUnavailableError` in an outage."""

    def __init__(self, staging: ObjectStore) -> None:
        self._staging = staging
        self._plans: OrderedDict[str, CrawlPlan] = OrderedDict()

    async def put_request_if_absent(self, request: CrawlRequest) -> CrawlRequest:
        """Returns the request that counts for its run: the first that was stored."""
        key = keys.request_key(request.run_id)
        winner = await self._put_if_absent(key, encode(request))
        crashpoints.reach("crawler.request")
        return request if winner is None else parse_stored(CrawlRequest, winner, key)

    async def put_plan_if_absent(self, plan: CrawlPlan) -> CrawlPlan:
        """Returns the plan that counts for its run and dataset: the first that was stored."""
        key = keys.plan_key(plan.run_id, plan.dataset)
        winner = await self._put_if_absent(key, plan.model_dump_json().encode())
        crashpoints.reach("crawler.plan")
        return self._remember(key, plan if winner is None else parse_stored(CrawlPlan, winner, key))

    async def find_request(self, run_id: str) -> CrawlRequest | None:
        key = keys.request_key(run_id)
        found = await self._staging.get(key)
        return None if found is None else parse_stored(CrawlRequest, found, key)

    async def replace_plan(self, plan: CrawlPlan) -> None:
        """For a redriven unit only: no batch of the stored plan may have been crawled."""
        await self._staging.put(keys.plan_key(plan.run_id, plan.dataset), plan.model_dump_json().encode())

    async def find_plan(self, run_id: str, dataset: str) -> CrawlPlan | None:
        key = keys.plan_key(run_id, dataset)
        if (cached := self._plans.get(key)) is not None:
            self._plans.move_to_end(key)
            return cached
        found = await self._staging.get(key)
        return None if found is None else self._remember(key, parse_stored(CrawlPlan, found, key))

    async def put_ids(self, run_id: str, dataset: str, lines: bytes) -> str:
        """Stores a piece of a plan's ids, a line per batch; durable when it returns the hash that names it."""
        sha256 = hashlib.sha256(lines).hexdigest()
        await self._staging.put(keys.plan_piece_key(run_id, dataset, sha256), lines)
        return sha256

    async def ids_of(self, plan: CrawlPlan, sequence: int) -> list[Any]:
        """The ids of a batch, or the units of a line. Raises `ObjectMissingError` where their piece is gone."""
        if not plan.pieces:
            return plan.ids_of(sequence)
        piece = plan.piece_of(sequence)
        key = keys.plan_piece_key(plan.run_id, plan.dataset, piece.sha256)
        found = await self._staging.get(key)
        if found is None:
            raise ObjectMissingError(self._staging.uri(key))
        ids: list[Any] = orjson.loads(found.split(b"\n")[sequence - piece.first])
        return ids

    async def plan(self, run_id: str, dataset: str) -> CrawlPlan:
        """Raises `ObjectMissingError` where there is none: batches are requested after the plan is stored."""
        found = await self.find_plan(run_id, dataset)
        if found is None:
            raise ObjectMissingError(self._staging.uri(keys.plan_key(run_id, dataset)))
        return found

    async def _put_if_absent(self, key: str, value: bytes) -> bytes | None:
        """Returns None where this call was the first, else what the first one wrote."""
        if await self._staging.create(key, value):
            return None
        winner = await self._staging.get(key)
        if winner is None:
            raise TransientError(f"{key} was there and is gone: staging is being swept")
        return winner

    def _remember(self, key: str, plan: CrawlPlan) -> CrawlPlan:
        if plan.failed is not None or plan.is_open:
            # A redrive may replace it: every process must see the new one.
            return plan
        self._plans[key] = plan
        if len(self._plans) > PLANS_CACHED:
            self._plans.popitem(last=False)
        return plan
