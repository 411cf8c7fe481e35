"""Composition root of the crawler: the only place that reads settings and builds clients."""

from pathlib import Path

from services.crawler.adapters.checkpoints import Checkpoints
from services.crawler.adapters.marks import Marks
from services.crawler.adapters.parent_rows import ParentRows
from services.crawler.adapters.run_store import RunStore
from services.crawler.adapters.stored_results import StoredResults
from services.crawler.domain.fetching import RetryPolicy
from services.crawler.handlers import Handlers
from services.crawler.http.address_guard import AllowedHosts
from services.crawler.http.api_client import ApiClient
from services.crawler.http.client import SourceClient
from services.crawler.http.credentials import Credentials
from services.crawler.http.rate_limit import SourceThrottle
from services.crawler.http.transport import HttpTransport
from services.crawler.service.api_planner import ApiPlanner
from services.crawler.service.batch_crawl import BatchCrawl
from services.crawler.service.crawler import CrawlerService
from services.crawler.service.datasets import CrawlDatasets
from services.crawler.service.family import Family
from services.crawler.service.manifests import STAGE
from services.crawler.service.planner import Planner
from services.crawler.service.replays import Replays
from services.crawler.service.run_marks import RunMarks
from services.crawler.settings import CrawlSettings
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.datasets.sources.secret_values import SecretValues, variable
from shared.errors import ConfigurationError
from shared.events import topics
from shared.runtime import memory
from shared.runtime.process import Process, run_service
from shared.settings.datasets import DatasetSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches
from shared.storage.object_store import open_s3

BATCH_WORKERS = 3


async def build(process: Process) -> None:
    settings, store = load_settings(CrawlSettings), load_settings(ObjectStoreSettings)
    folder = DatasetFolder(load_settings(DatasetSettings).datasets_dir)
    staging = open_s3(store, store.staging_bucket)
    policy = RetryPolicy()
    transport = await process.resources.enter_async_context(
        HttpTransport(
            allowed=_allowed_hosts(settings),
            user_agent=settings.crawl_user_agent,
            timeout_s=settings.crawl_timeout_s,
            read_timeout_s=settings.crawl_read_timeout_s,
            policy=policy,
        )
    )
    throttle = SourceThrottle(dataset.source for dataset in folder.read().values())
    fetch = SourceClient(transport, throttle, policy)
    datasets = CrawlDatasets(folder.read, RunDatasets(staging, folder.read), throttle.use_limits_of)
    runs = RunStore(staging)
    marks, results = Marks(staging), StoredResults(staging)
    credentials = Credentials(transport, SecretValues(_secret_folders(settings)))
    client = ApiClient(transport, throttle, credentials, policy)
    api = ApiPlanner(client, runs, marks, ParentRows(staging, results), variable)
    rows = settings.crawl_batch_rows or memory.measure().batch_rows()
    batches = Batches(staging, STAGE)
    service = CrawlerService(
        datasets,
        runs,
        batches,
        Planner(fetch, runs, rows, api),
        BatchCrawl(datasets, batches, runs, fetch, Checkpoints(staging), batch_rows=rows, api=client),
        Replays(runs, results),
        Family(datasets, runs, results),
    )
    handlers = Handlers(service, RunMarks(datasets, runs, results, marks))
    process.subscriptions.subscribe(topics.CRAWL_REQUESTED, handler=handlers.on_crawl_requested)
    process.subscriptions.subscribe(topics.RUN_COMPLETED, handler=handlers.on_run_completed)
    process.subscriptions.subscribe(
        topics.CRAWL_BATCH_REQUESTED,
        handler=handlers.on_batch_requested,
        mark_failed=handlers.mark_failed,
        redrive=handlers.redrive,
        workers=BATCH_WORKERS,
    )


def _allowed_hosts(settings: CrawlSettings) -> AllowedHosts:
    try:
        return AllowedHosts.parse(settings.crawl_allow_hosts)
    except ValueError as error:
        raise ConfigurationError(f"ONPOINT_CRAWL_ALLOW_HOSTS: {error}") from error


def _secret_folders(settings: CrawlSettings) -> tuple[Path, ...]:
    return tuple(Path(folder.strip()) for folder in settings.crawl_secrets_dirs.split(",") if folder.strip())


def main() -> None:
    run_service(STAGE, build)


if __name__ == "__main__":
    main()
