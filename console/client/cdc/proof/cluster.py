"""The objects of a table's changes on a Dask cluster: its workers read them, each one at a time."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from distributed import KilledWorker
from distributed.client import FutureCancelledError

from console.client.cdc.proof.columns import SourceColumn
from console.client.cdc.proof.digests import ObjectDigest
from console.client.cdc.proof.task import digest_on_worker
from console.client.cdc.state import StoredObject
from shared.dask.connection import Connection
from shared.dask.errors import ClusterAwayError
from shared.dask.security import security_of
from shared.dask.versions import own_versions
from shared.dask.workers import crew_of, resource_of
from shared.errors import TransientError
from shared.settings.dask import DaskSettings


async def digest_on_cluster(
    settings: DaskSettings, stored: Sequence[StoredObject], columns: Sequence[SourceColumn], lsn: int
) -> list[ObjectDigest]:
    """What counts of each object. Raises `ClusterAwayError` where no worker can take one, `TransientError` for an object
    that a worker cannot read. 25 bytes a key of each object come back.
    """
    versions = own_versions()
    connection = Connection(settings.dask_scheduler_address or "", security_of(settings), "onpoint-console")
    try:
        client = await connection.client()
        crew = crew_of((await client.scheduler.identity())["workers"], versions)  # type: ignore[union-attr]  # it is connected
        if not crew.slots:
            raise ClusterAwayError(crew.problem)
        room = asyncio.Semaphore(2 * crew.slots)

        async def one(each: StoredObject) -> ObjectDigest:
            async with room:
                found = await client.submit(
                    digest_on_worker,
                    each,
                    list(columns),
                    lsn,
                    pure=False,
                    resources={resource_of(versions): 1},
                )
            if isinstance(found, str):
                raise TransientError(found)
            digest: ObjectDigest = found
            return digest

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(each)) for each in stored]
        except* (FutureCancelledError, KilledWorker, OSError) as errors:
            why = f"the Dask cluster lost an object of the lake on the way: {errors.exceptions[0]}"
            raise ClusterAwayError(why[:500]) from errors
        except* TransientError as errors:
            raise errors.exceptions[0] from errors
        return [task.result() for task in tasks]
    finally:
        with suppress(Exception):
            await connection.close()
