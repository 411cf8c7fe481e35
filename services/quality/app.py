from services.quality.checks import Checks
from services.quality.completion import CompletionService
from services.quality.handlers import LEDGER_TOPICS, Handlers
from services.quality.repository.completions import CompletionRepository
from services.quality.repository.ledger import TABLES, LedgerRepository
from services.quality.service import LedgerService
from shared.datasets.catalog import load_catalog
from shared.events import topics
from shared.postgres.pool import open_pool, wait_for_migrations
from shared.runtime import Process, run_service
from shared.settings import DatasetSettings, ObjectStoreSettings, PostgresSettings, load_settings
from shared.storage.object_store import open_s3


async def build(process: Process) -> None:
    storage = load_settings(ObjectStoreSettings)
    catalog = load_catalog(load_settings(DatasetSettings).datasets_dir)
    pool = await open_pool(load_settings(PostgresSettings))
    process.resources.push_async_callback(pool.close)
    await wait_for_migrations(pool, TABLES)
    handlers = Handlers(
        LedgerService(
            LedgerRepository(pool), open_s3(storage, storage.staging_bucket), process.bus.publish_all
        ),
        CompletionService(
            CompletionRepository(pool), Checks(pool, catalog), open_s3(storage, storage.lake_bucket), catalog
        ),
    )
    process.bus.subscribe(*LEDGER_TOPICS, handler=handlers.on_ledger_event, bury=handlers.bury)
    process.bus.subscribe_transactional(topics.RUN_DRAINED, handler=handlers.on_run_drained)
    process.loops.append(handlers.announce_forever)


def main() -> None:
    run_service("quality", build)


if __name__ == "__main__":
    main()
