"""The cluster as a way of working, by the settings. Imports Dask: only a process that has a cluster imports this."""

from contextlib import AsyncExitStack

from services.processor.cluster.cluster import Cluster
from services.processor.cluster.fallback import LocalFallback
from services.processor.work import Work
from shared.dask.connection import Connection
from shared.dask.security import security_of
from shared.settings.dask import DaskSettings
from shared.transforms.apply import Transformer


def cluster_work(
    settings: DaskSettings,
    transformer: Transformer,
    local: Work,
    *,
    local_batches: int,
    resources: AsyncExitStack,
) -> Work:
    """Connects with the first batch, and disconnects when `resources` are closed.

    Raises `ConfigurationError` for TLS files that cannot be used.
    """
    connection = Connection(settings.dask_scheduler_address or "", security_of(settings))
    resources.push_async_callback(connection.close)
    cluster = Cluster(connection, limit_s=settings.dask_batch_limit_s, transformer=transformer)
    if settings.dask_fallback == "wait":
        return cluster.work
    return LocalFallback(cluster, local, at_once=local_batches).work
