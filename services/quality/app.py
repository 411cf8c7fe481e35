from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

import asyncpg

from services.quality.adapters.combined_exports import CombinedExportRepository
from services.quality.adapters.completions import CompletionRepository
from services.quality.adapters.health import HealthRepository
from services.quality.adapters.kafka_state import KafkaObserver
from services.quality.adapters.ledger import LedgerRepository
from services.quality.adapters.listings import ListingRepository
from services.quality.adapters.news import NewsSources
from services.quality.adapters.state import StateRepository
from services.quality.handlers import LEDGER_TOPICS, Handlers
from services.quality.service.checks import Checks
from services.quality.service.combinations import Combinations
from services.quality.service.completion import CompletionService
from services.quality.service.health import HealthService
from services.quality.service.ledger import LedgerService
from services.quality.service.listings import Listings
from services.quality.service.news import NewsCollector, NewsSender
from services.quality.service.state import PipelineMetrics
from services.quality.settings import CloudWatchSettings, KafkaWatchSettings
from services.quality.workers.cloudwatch import CloudWatchExport
from services.quality.workers.compaction import ScheduledCompaction
from services.quality.workers.health import measure_forever
from services.quality.workers.kafka_watch import KafkaWatch
from services.quality.workers.loops import list_forever, publish_forever, show_forever
from services.quality.workers.news import collect_forever, send_forever
from services.quality.workers.sweeper import Sweeper
from shared.bus.kafka import KafkaClients
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.events import topics
from shared.events.topology import SERVICES, TOPICS
from shared.health.measure import HealthMeter
from shared.health.settings import HealthSettings
from shared.lake.compact import Compactor
from shared.lake.listings import DatasetListings
from shared.lake.repository import CompactionRepository
from shared.lake.settings import LakeSettings
from shared.lake.tables.open import LakeTables, require_drivers
from shared.lake.tables.settings import TableSettings
from shared.news.channels.open import open_channels
from shared.news.config import NewsConfig, read_news_config
from shared.news.outbox import Outbox
from shared.news.settings import NewsSettings
from shared.postgres.migrations import find_migrations
from shared.postgres.pool import open_pool
from shared.postgres.startup import wait_for_database
from shared.runtime.http import Page
from shared.runtime.paths import HEALTH_PATH
from shared.runtime.process import Process, run_service
from shared.settings.datasets import DatasetSettings
from shared.settings.kafka import KafkaSettings
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
    cloudwatch = CloudWatchExport(load_settings(CloudWatchSettings))
    completion = CompletionService(
        completions, listings, Checks(pool), datasets, combinations, on_end=cloudwatch.add
    )
    _subscribe(process, Handlers(ledger, completion, combinations))
    of_datasets = DatasetListings(pool, lake)
    process.loops += [partial(publish_forever, ledger), partial(list_forever, listings, of_datasets)]
    if cloudwatch.is_on:
        process.loops.append(cloudwatch.send_forever)
    if interval_s := load_settings(KafkaWatchSettings).kafka_watch_interval_s:
        process.loops.append(_kafka_watch(interval_s).watch_forever)
    process.loops.append(partial(show_forever, PipelineMetrics(StateRepository(pool))))
    add_news(process, pool, completions, folder.read, RunDatasets(staging, folder.read))
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


def _subscribe(process: Process, handlers: Handlers) -> None:
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


def _kafka_watch(interval_s: int) -> KafkaWatch:
    kafka = KafkaClients(load_settings(KafkaSettings), "onpoint-quality-watch")
    observer = KafkaObserver(kafka, [topics.consumer_group(service) for service in SERVICES], TOPICS)
    return KafkaWatch(observer, interval_s)


def add_news(
    process: Process,
    pool: asyncpg.Pool,
    completions: CompletionRepository,
    datasets: Callable[[], Mapping[str, Dataset]],
    of_runs: RunDatasets,
) -> None:
    """What happens becomes news whether or not there are channels: those that come later begin with what comes later."""
    config, outbox = read_news_config(load_settings(NewsSettings).news_file), Outbox(pool)
    add_health(process, pool, config, datasets)
    collector = NewsCollector(NewsSources(pool), completions, outbox, config, datasets, of_runs)
    process.loops.append(partial(collect_forever, collector))
    senders = [NewsSender(name, channel, outbox) for name, channel in open_channels(config).items()]
    if senders:
        process.loops.append(partial(send_forever, senders))


def add_health(
    process: Process,
    pool: asyncpg.Pool,
    config: NewsConfig,
    datasets: Callable[[], Mapping[str, Dataset]],
) -> None:
    settings = load_settings(HealthSettings)
    health = HealthService(
        lambda: HealthMeter(pool, settings, datasets()),
        HealthRepository(pool, config),
        settings.health_interval_s,
    )

    async def page() -> Page:
        """503 tells watchers that know nothing but a status."""
        report = await health.report()
        status = HTTPStatus.SERVICE_UNAVAILABLE if report.status == "FAILED" else HTTPStatus.OK
        return Page(report.model_dump_json().encode(), status)

    process.pages[HEALTH_PATH] = page
    process.loops.append(partial(measure_forever, health))


def main() -> None:
    run_service("quality", build)


if __name__ == "__main__":
    main()
