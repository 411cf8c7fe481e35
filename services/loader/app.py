from services.loader.handlers import Handlers
from services.loader.repository import LoadRepository
from services.loader.service import LoaderService
from services.loader.settings import LoaderSettings
from services.loader.statements import LEDGER_TABLE
from shared.batches.batches import Batches
from shared.datasets.catalog import load_catalog
from shared.events import topics
from shared.postgres.pool import open_pool, wait_for_migrations
from shared.runtime import Process, run_service
from shared.settings import DatasetSettings, ObjectStoreSettings, PostgresSettings, load_settings
from shared.storage.object_store import open_s3


async def build(process: Process) -> None:
    settings = load_settings(LoaderSettings)
    storage = load_settings(ObjectStoreSettings)
    catalog = load_catalog(load_settings(DatasetSettings).datasets_dir)
    pool = await open_pool(load_settings(PostgresSettings))
    process.resources.push_async_callback(pool.close)
    await wait_for_migrations(
        pool, [LEDGER_TABLE, *(f"public.{dataset.table}" for dataset in catalog.values())]
    )
    batches = Batches(open_s3(storage, storage.staging_bucket), "loader")
    handlers = Handlers(LoaderService(batches, LoadRepository(pool), catalog))
    process.bus.subscribe(
        topics.BATCH_PROCESSED,
        handler=handlers.on_batch_processed,
        bury=handlers.bury,
        revive=handlers.revive,
        workers=settings.loader_workers,
    )


def main() -> None:
    run_service("loader", build)


if __name__ == "__main__":
    main()
