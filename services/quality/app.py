from functools import partial

from services.quality.adapters.combined_exports import CombinedExportRepository
from services.quality.adapters.completions import CompletionRepository
from services.quality.adapters.ledger import LedgerRepository
from services.quality.adapters.listings import ListingRepository
from services.quality.handlers import LEDGER_TOPICS, Handlers
from services.quality.service.checks import Checks
from services.quality.service.combinations import Combinations
from services.quality.service.completion import CompletionService
from services.quality.service.ledger import LedgerService
from services.quality.service.listings import Listings
from services.quality.workers.compaction import ScheduledCompaction
from services.quality.workers.loops import list_forever, publish_forever
from services.quality.workers.sweeper import Sweeper
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.events import topics
from shared.lake.compact import Compactor
from shared.lake.listings import DatasetListings
from shared.lake.repository import CompactionRepository
from shared.lake.settings import LakeSettings
from shared.lake.tables.open import LakeTables, require_drivers
from shared.lake.tables.settings import TableSettings
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
from shared.sweep.ledger import LedgerRunIndex
from shared.sweep.settings import SweepSettings
from shared.sweep.uploads import S3Uploads

REQUEST_WORKERS = 2
"""More than one has consumers apart: a new run is known at once, however many results wait."""


async def build(process: Process) -> None:
    storage, sweeping = load_settings(ObjectStoreSettings), load_settings(SweepSettings)
    folder = DatasetFolder(load_settings(DatasetSettings).datasets_dir)
    folder.read()  # logs the files that cannot be used
    postgres = load_settings(PostgresSettings)
    pool = await open_pool(postgres, process.waits_for)
    process.resources.push_async_callback(pool.close)
    await wait_for_database(pool, find_migrations("services.quality"), process.waits_for)
    staging, lake = (open_s3(storage, bucket) for bucket in (storage.staging_bucket, storage.lake_bucket))
    completions = CompletionRepository(pool)
    listings = Listings(ListingRepository(pool), completions, lake)
    datasets = RunDatasets(staging, folder.read)
    combinations = Combinations(CombinedExportRepository(pool), Batches(staging, "converter"), datasets)
    ledger = LedgerService(LedgerRepository(pool), staging, process.publisher.publish_all, combinations)
    completion = CompletionService(completions, listings, Checks(pool), datasets, combinations)
    handlers = Handlers(ledger, completion, combinations)
    process.subscriptions.subscribe(
        topics.CRAWL_REQUESTED,
        handler=handlers.on_crawl_requested,
        mark_failed=handlers.leave_to_crawler,
        workers=REQUEST_WORKERS,
    )
    process.subscriptions.subscribe(
        topics.CRAWL_BATCH_REQUESTED,
        handler=handlers.on_unit_requested,
        mark_failed=handlers.leave_to_crawler,
    )
    process.subscriptions.subscribe(
        *LEDGER_TOPICS, handler=handlers.on_ledger_event, mark_failed=handlers.mark_failed
    )
    process.subscriptions.subscribe_transactional(
        topics.RUN_DRAINED, handler=handlers.on_run_drained, mark_failed=handlers.mark_drained_failed
    )
    of_datasets = DatasetListings(pool, lake)
    process.loops += [partial(publish_forever, ledger), partial(list_forever, listings, of_datasets)]
    compacting = load_settings(LakeSettings)
    if sweeping.sweep_interval_s:
        sweeper = Sweeper(
            staging, lake, LedgerRunIndex(pool), lambda: S3Uploads(storage), sweeping, compacting
        )
        process.loops.append(sweeper.sweep_forever)
    if compacting.lake_compact_interval_s:
        require_drivers(folder.read().values())
        repository, frozen = CompactionRepository(pool), RunDatasets(staging, folder.read)
        tables = LakeTables(
            storage, lake, load_settings(TableSettings), postgres.postgres_dsn.get_secret_value()
        )

        def compactor() -> Compactor:
            target_bytes = compacting.lake_compact_target_bytes
            return Compactor(repository, of_datasets, lake, frozen, target_bytes, tables)

        schedule = ScheduledCompaction(repository, compactor, compacting.lake_compact_interval_s)
        process.loops.append(schedule.compact_forever)


def main() -> None:
    run_service("quality", build)


if __name__ == "__main__":
    main()
