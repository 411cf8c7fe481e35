"""A worker of the Dask cluster: `python -m services.processor.cluster.app`.

It has the credentials of the object store by its own settings. It needs neither Kafka nor PostgreSQL.
"""

import asyncio
import signal
import sys
import tempfile

from distributed import Worker
from distributed.core import Status

from services.processor.cluster import task
from services.processor.settings import DaskWorkerSettings, TransformSettings
from services.processor.work import transformer_of
from shared.dask.connection import log_as_others
from shared.dask.security import security_of
from shared.dask.versions import own_versions
from shared.dask.workers import VERSIONS_FIELD, resource_of
from shared.errors import ConfigurationError
from shared.observability.logging import configure_logging, get_logger
from shared.runtime.http import start_http
from shared.settings.dask import DaskSettings
from shared.settings.masks import MaskSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.process import ProcessSettings
from shared.settings.variables import variable_of
from shared.stages.artifacts import Artifacts
from shared.storage.object_store import open_s3

EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 2

LOOPBACK_ANY = "127.0.0.1:0"
"""The library's own pages of a worker: they are on the scheduler's dashboard."""

log = get_logger()


def main() -> None:
    """Exits 0 after SIGTERM or Ctrl-C, 1 when the scheduler is gone, 2 for a wrong setting."""
    try:
        process = load_settings(ProcessSettings)
        configure_logging("dask-worker", process.log_level)
        log_as_others()
        with tempfile.TemporaryDirectory(prefix="onpoint-dask-") as folder:
            code = asyncio.run(_live(process, load_settings(DaskSettings), folder))
    except ConfigurationError as error:
        sys.stderr.write(f"dask-worker: wrong settings\n{error}\n")
        code = EXIT_CONFIGURATION
    sys.exit(code)


async def _live(process: ProcessSettings, dask: DaskSettings, folder: str) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    storage = load_settings(ObjectStoreSettings)
    transformer = transformer_of(load_settings(TransformSettings), load_settings(MaskSettings))
    task.prepare(Artifacts(open_s3(storage, storage.staging_bucket), "processor"), transformer)
    worker = _worker(dask, load_settings(DaskWorkerSettings), folder)
    runner = await start_http(
        process.http_host,
        process.http_port,
        alive=list,
        ready=lambda: _problems(worker),
        resume=lambda: False,
    )
    started = asyncio.ensure_future(worker)
    ended = asyncio.create_task(_ended(started, worker))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
            log.error("scheduler_gone", scheduler=dask.dask_scheduler_address)
            return EXIT_FAILED
        log.info("stopping")
        await worker.close(executor_wait=False)
        return EXIT_OK
    finally:
        for pending in (started, ended, stopped):
            pending.cancel()
        await runner.cleanup()


async def _ended(started: asyncio.Future[Worker], worker: Worker) -> None:
    await started
    log.info("ready", address=worker.address)
    await worker.finished()  # type: ignore[no-untyped-call]  # as its types have it


def _worker(dask: DaskSettings, settings: DaskWorkerSettings, folder: str) -> Worker:
    if dask.dask_scheduler_address is None:
        raise ConfigurationError(f"{variable_of('dask_scheduler_address')} is not set")
    versions = own_versions()
    return Worker(
        dask.dask_scheduler_address,
        nthreads=settings.dask_worker_threads,
        memory_limit=settings.dask_worker_memory_mib * 2**20,
        resources={resource_of(versions): settings.dask_worker_threads},
        startup_information={VERSIONS_FIELD: lambda _: dict(versions)},
        security=security_of(dask),
        host=settings.dask_worker_host,
        local_directory=folder,
        dashboard_address=LOOPBACK_ANY,
    )


def _problems(worker: Worker) -> list[str]:
    """A paused worker is ready: it has no room for the moment, and goes on by itself."""
    return [] if worker.status in {Status.running, Status.paused} else ["waiting for the Dask scheduler"]


if __name__ == "__main__":
    main()
