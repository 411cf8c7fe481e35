import asyncio
from functools import partial

from services.s3sink.adapters.repository import SinkRepository
from services.s3sink.adapters.writer import ObjectWriter
from services.s3sink.domain import Limits
from services.s3sink.handlers import Handlers
from services.s3sink.service import SinkService
from services.s3sink.settings import SinkSettings
from services.s3sink.workers.object_writer import SinkLoop
from services.s3sink.workers.queue import show_queue_forever
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.errors import ConfigurationError
from shared.events import topics
from shared.postgres.migrations import find_migrations
from shared.postgres.pool import open_pool
from shared.postgres.startup import wait_for_database
from shared.runtime.process import Process, run_service
from shared.settings.datasets import DatasetSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.stages.results import Batches
from shared.storage.object_store import open_s3

CONSUMERS = 2
"""Connections that handlers use while every writer uses one."""


async def build(process: Process) -> None:
    settings = load_settings(SinkSettings)
    storage = load_settings(ObjectStoreSettings)
    folder = DatasetFolder(load_settings(DatasetSettings).datasets_dir)
    folder.read()  # logs the files that cannot be used
    postgres = load_settings(PostgresSettings)
    if settings.s3sink_writers + CONSUMERS > postgres.postgres_pool_size + postgres.postgres_pool_overflow:
        raise ConfigurationError(
            "ONPOINT_S3SINK_WRITERS: the PostgreSQL pool needs two connections more than that"
        )
    pool = await open_pool(postgres, process.waits_for)
    process.resources.push_async_callback(pool.close)
    await wait_for_database(pool, find_migrations("services.s3sink"), process.waits_for)
    limits = Limits(
        target_bytes=settings.s3sink_object_target_bytes,
        most_bytes=settings.s3sink_object_max_bytes,
        age_s=settings.s3sink_max_age_s,
        target_rows=settings.s3sink_object_target_rows,
    )
    woken = asyncio.Event()
    repository = SinkRepository(pool, limits)
    staging = open_s3(storage, storage.staging_bucket)
    batches, datasets = Batches(staging, "s3sink"), RunDatasets(staging, folder.read)
    service = SinkService(batches, repository, datasets, woken.set)
    handlers = Handlers(service)
    process.subscriptions.subscribe(
        topics.BATCH_PROCESSED,
        handler=handlers.on_batch_processed,
        mark_failed=handlers.mark_failed,
        redrive=handlers.redrive,
    )
    process.subscriptions.subscribe(topics.RUN_SEALED, handler=handlers.on_run_sealed)
    writer = ObjectWriter(batches, open_s3(storage, storage.lake_bucket), datasets)
    loop = SinkLoop(
        repository, service, writer, process.publisher.publish_all, process.publisher.send_dead_letter, woken
    )
    process.loops.extend([loop.run] * settings.s3sink_writers)
    process.loops.append(partial(show_queue_forever, repository))


def main() -> None:
    run_service("s3sink", build)


if __name__ == "__main__":
    main()
