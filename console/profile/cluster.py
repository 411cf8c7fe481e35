"""The profile of a dataset on a Dask cluster: its workers read the objects of the lake, each one at a time."""

import asyncio
from contextlib import suppress

from distributed import KilledWorker
from distributed.client import FutureCancelledError

from console.profile.lake import Profile, objects
from console.profile.task import profile_on_worker
from shared.dask.connection import Connection
from shared.dask.errors import ClusterAwayError
from shared.dask.security import security_of
from shared.dask.versions import own_versions
from shared.dask.workers import crew_of, resource_of
from shared.errors import TransientError
from shared.settings.dask import DaskSettings
from shared.storage.object_store import ObjectStore


async def profile_on_cluster(
    settings: DaskSettings, lake: ObjectStore, dataset: str, run_id: str | None
) -> Profile:
    """As `profile`, which gives the same figures. Raises `ClusterAwayError` where no worker can take an object."""
    versions = own_versions()
    connection = Connection(settings.dask_scheduler_address or "", security_of(settings), "onpoint-console")
    try:
        client = await connection.client()
        crew = crew_of((await client.scheduler.identity())["workers"], versions)  # type: ignore[union-attr]  # it is connected
        if not crew.slots:
            raise ClusterAwayError(crew.problem)
        found = Profile(dataset, run_id)
        waiting: set[asyncio.Future[Profile | str]] = set()
        async for uri, only_run in objects(lake, dataset, run_id):
            if len(waiting) >= 2 * crew.slots:
                waiting = await _merge_some(found, waiting)
            future = client.submit(
                profile_on_worker, dataset, uri, only_run, pure=False, resources={resource_of(versions): 1}
            )
            waiting.add(asyncio.ensure_future(future))
        while waiting:
            waiting = await _merge_some(found, waiting)
    finally:
        with suppress(Exception):
            await connection.close()
    return found


async def _merge_some(
    found: Profile, waiting: set[asyncio.Future[Profile | str]]
) -> set[asyncio.Future[Profile | str]]:
    """Those that are not over yet."""
    over, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for future in over:
        try:
            part = future.result()
        except (FutureCancelledError, KilledWorker, OSError) as error:
            raise ClusterAwayError(
                f"the Dask cluster lost an object of the lake on the way: {error}"[:500]
            ) from error
        if isinstance(part, str):
            raise TransientError(part)
        found.merge(part)
    return others
