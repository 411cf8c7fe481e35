"""Batches on a Dask cluster: sent when a worker is free, watched, given up in time."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from distributed import Client, Future, KilledWorker
from distributed.client import ClosedClientError, FutureCancelledError

from services.processor.cluster.call import run_batch
from services.processor.cluster.errors import BatchTimeError, WorkersDiedError
from services.processor.cluster.outcome import OtherVersions, decode_answer, processed_of
from services.processor.cluster.wanted import TRANSFORMS, wanted_for
from services.processor.work import Processed
from shared.dask.connection import Connection
from shared.dask.errors import ClusterAwayError, ConnectionLostError
from shared.dask.versions import differences, own_versions
from shared.dask.workers import Crew, crew_of, resource_of
from shared.datasets.frozen import dump
from shared.datasets.model import Dataset
from shared.events.decode import encode
from shared.events.models import BatchManifest
from shared.transforms.apply import Transformer

LOOK_S = 2.0
"""How often the scheduler is asked whether it still has the batch: a lost connection may be silent."""

ANSWER_S = 10.0
"""A scheduler that is silent for longer is away."""

SLOT_WAIT_S = 30.0
"""A batch waits that long for a worker of its own, then its partition pauses. A rebalance waits for batches in hand."""

WORKER_GRACE_S = 10.0
"""A worker ends itself that much later than its batch is given up here, so that the scheduler gives it to no other."""


class Cluster:
    """The work on batches, done by the workers of a Dask cluster. One per process and event loop."""

    def __init__(
        self, connection: Connection, *, limit_s: float, transformer: Transformer | None = None
    ) -> None:
        """`transformer`: the one that this process has, so that no worker with another secret works on a batch."""
        self._transformer = transformer or Transformer()
        self._connection = connection
        self._limit_s = limit_s
        self._versions = own_versions()
        self._in_flight = 0
        self._freed = asyncio.Event()

    async def work(self, crawled: BatchManifest, dataset: Dataset) -> Processed:
        """As `work_on`, on a worker. Waits while the cluster has as many batches of this process as it can hold.

        Raises `ClusterAwayError` while no worker can take it, `BatchTimeError`, `WorkersDiedError`, and what `work_on`
        raises.
        """
        client = await self._connection.client()
        try:
            async with self._slot(client):
                answer = decode_answer(await self._run(client, crawled, dataset))
        except ConnectionLostError:
            self._connection.drop(client)
            raise
        if isinstance(answer, OtherVersions):
            told = differences({**self._versions, TRANSFORMS: self._transformer.digest}, answer.versions)
            raise ClusterAwayError(f"a worker of the Dask cluster would write other bytes: {told}")
        return processed_of(answer)

    @asynccontextmanager
    async def _slot(self, client: Client) -> AsyncIterator[None]:
        due_s = time.monotonic() + SLOT_WAIT_S
        while True:
            crew = self._crew(await _describe(client))
            if not crew.slots:
                raise ClusterAwayError(crew.problem)
            if self._in_flight < crew.slots:
                break
            if time.monotonic() > due_s:
                raise ClusterAwayError(f"no worker of the Dask cluster was free for {SLOT_WAIT_S:g} s")
            self._freed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), LOOK_S)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._freed.set()

    async def _run(self, client: Client, crawled: BatchManifest, dataset: Dataset) -> bytes:
        scheduler: str = (await _describe(client))["id"]
        due_s = time.monotonic() + self._limit_s
        future = self._submit(client, crawled, dataset)
        result = asyncio.ensure_future(_answer_of(future))
        try:
            while not (await asyncio.wait({result}, timeout=LOOK_S))[0]:
                await self._look(client, scheduler, due_s)
            return _value_of(result, future)
        finally:
            # The scheduler forgets the batch, also where this task is cancelled: whoever gets it next begins anew.
            result.cancel()
            future.release()  # type: ignore[no-untyped-call]  # as its types have it

    def _submit(self, client: Client, crawled: BatchManifest, dataset: Dataset) -> Future[bytes]:
        try:
            return client.submit(
                run_batch,
                encode(crawled),
                dump(dataset),
                wanted_for(dataset, self._versions, self._transformer),
                self._limit_s + WORKER_GRACE_S,
                key=f"onpoint-batch-{crawled.batch_id}-{uuid.uuid4().hex[:8]}",
                pure=False,
                resources={resource_of(self._versions): 1},
            )
        except ClosedClientError as error:
            raise ConnectionLostError("the connection to the Dask scheduler was closed") from error

    async def _look(self, client: Client, scheduler: str, due_s: float) -> None:
        """Raises where the batch that is being worked on has to be given up."""
        found = await _describe(client)
        if found["id"] != scheduler:
            raise ConnectionLostError("the Dask scheduler was started anew")
        crew = self._crew(found)
        is_late = time.monotonic() > due_s
        if not crew.members or (is_late and not crew.slots):
            raise ClusterAwayError(crew.problem)
        if is_late:
            raise BatchTimeError(f"the batch took longer than {self._limit_s:g} s on the Dask cluster")

    def _crew(self, scheduler: Mapping[str, Any]) -> Crew:
        return crew_of(scheduler["workers"], self._versions)


async def _describe(client: Client) -> Mapping[str, Any]:
    """What the scheduler says of itself and its workers. A kilobyte for each worker."""
    scheduler = client.scheduler
    try:
        if scheduler is None or client.status != "running":
            raise ConnectionLostError(f"the connection to the Dask scheduler is {client.status}")
        async with asyncio.timeout(ANSWER_S):
            found: Mapping[str, Any] = await scheduler.identity()
    except OSError as error:
        raise ConnectionLostError(f"the Dask scheduler does not answer: {error!r}"[:500]) from error
    return found


def _value_of(result: asyncio.Future[bytes], future: Future[bytes]) -> bytes:
    try:
        return result.result()
    except KilledWorker as error:
        raise WorkersDiedError(
            f"workers of the Dask cluster ended while they had the batch: {error}"[:500]
        ) from error
    except (FutureCancelledError, asyncio.CancelledError) as error:
        raise ConnectionLostError("the connection to the Dask scheduler was lost") from error
    except RuntimeError as error:
        if "task graph" in str(error):
            raise ClusterAwayError(
                "the Dask scheduler cannot read the batch: it has to run where OnPoint of this version is installed"
            ) from error
        raise
    except OSError as error:
        if future.status == "error":
            raise
        raise ConnectionLostError(f"the batch's result did not arrive: {error!r}"[:500]) from error


async def _answer_of(future: Future[bytes]) -> bytes:
    answer: bytes = await future
    return answer
