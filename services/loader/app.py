from services.loader.adapters.repository import LoadRepository
from services.loader.adapters.statements import LEDGER_TABLE
from services.loader.handlers import Handlers
from services.loader.service import LoaderService
from services.loader.settings import LoaderSettings
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.events import topics
from shared.postgres.pool import open_pool, wait_for_migrations
from shared.runtime.process import Process, run_service
from shared.settings.datasets import DatasetSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.stages.results import Batches
from shared.storage.object_store import open_s3


async def build(process: Process) -> None:
    settings = load_settings(LoaderSettings)
    storage = load_settings(ObjectStoreSettings)
    folder = DatasetFolder(load_settings(DatasetSettings).datasets_dir)
    folder.read()  # logs the files that cannot be used
    pool = await open_pool(load_settings(PostgresSettings))
    process.resources.push_async_callback(pool.close)
    await wait_for_migrations(pool, [LEDGER_TABLE])
    staging = open_s3(storage, storage.staging_bucket)
    batches = Batches(staging, "loader")
    handlers = Handlers(LoaderService(batches, LoadRepository(pool), RunDatasets(staging, folder.read)))
    process.subscriptions.subscribe(
        topics.BATCH_PROCESSED,
        handler=handlers.on_batch_processed,
        mark_failed=handlers.mark_failed,
        redrive=handlers.redrive,
        workers=settings.loader_workers,
    )


def main() -> None:
    run_service("loader", build)


if __name__ == "__main__":
    main()
