"""Health, measured on a real ledger and real services."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from services.quality.adapters.health import HealthRepository
from services.quality.service.health import HealthService
from shared.health.measure import HealthMeter
from shared.health.model import CheckName, HealthCheck, HealthReport, Reading
from shared.health.settings import HealthSettings
from shared.news.config import NewsConfig
from shared.news.outbox import Outbox
from shared.observability.metrics import HEALTH_STATUS
from shared.observability.registry import REGISTRY
from shared.runtime.http import start_http
from tests.integration.quality.conftest import Quality
from tests.integration.quality.story import Batch, Story

pytestmark = pytest.mark.integration

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def settings(**more: object) -> HealthSettings:
    """However busy the machine of the tests is, that is no matter of theirs."""
    return HealthSettings.model_validate({"health_used_ratio": 1} | more)


def meter(quality: Quality, **more: object) -> HealthMeter:
    return HealthMeter(quality.pool, settings(**more), quality.catalog)


async def run(quality: Quality, run_id: str, *batches: Batch) -> None:
    await quality.handle(*Story(run_id, {"posts": batches or (Batch(clean=True),)}).events())
    await quality.complete(run_id)


def check_of(report: HealthReport, name: CheckName) -> HealthCheck:
    [found] = [check for check in report.checks if check.name == name]
    return found


def reading_of(report: HealthReport, name: CheckName, item: str) -> Reading:
    [found] = [reading for reading in check_of(report, name).readings if reading.item == item]
    return found


@asynccontextmanager
async def service(*problems: str) -> AsyncIterator[str]:
    """A service's own HTTP server; its address as the setting names it."""
    runner = await start_http("127.0.0.1", 0, alive=list, ready=lambda: list(problems), resume=lambda: False)
    try:
        yield f"loader=http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_pipeline_that_works_is_healthy_and_shows_its_figures(quality: Quality) -> None:
    await run(quality, "first", Batch(100, clean=True), Batch(50, clean=True))
    async with service() as loader:
        report = await meter(quality, health_services=loader).measure()
    assert {check.name: check.status for check in report.checks} == {
        "database": "HEALTHY",
        "freshness": "HEALTHY",
        "latency": "HEALTHY",
        "error_rate": "HEALTHY",
        "resources": "HEALTHY",
    }
    assert report.status == "HEALTHY"
    answer = reading_of(report, "database", "answer")
    assert answer.value is not None
    assert 0 < answer.value < 5
    assert (reading_of(report, "database", "size").value or 0) > 1_000_000
    assert reading_of(report, "latency", "rows").value == 150
    assert reading_of(report, "latency", "loader queue").value == 0
    assert reading_of(report, "latency", "loader p95").limit == 600
    posts = reading_of(report, "freshness", "posts")
    assert posts.value is not None
    assert posts.value < 0.1
    for item in ("loader cpu", "loader memory", "loader disk"):
        share = reading_of(report, "resources", item).value
        assert share is not None
        assert 0 <= share <= 1
    assert (reading_of(report, "resources", "loader disk").value or 0) > 0
    assert reading_of(report, "resources", "loader").value == 0


async def test_a_table_is_stale_by_the_limit_of_its_own_file(quality: Quality) -> None:
    await run(quality, "first")
    await quality.pool.execute("UPDATE onpoint_runs.runs SET finished_at = finished_at - interval '26 hours'")
    report = await meter(quality).measure()
    posts = reading_of(report, "freshness", "posts")
    assert (posts.status, posts.limit) == ("STALE", 25)
    assert posts.value == pytest.approx(26, abs=0.1)
    quality.catalog["posts"] = quality.catalog["posts"].model_copy(update={"max_age_hours": 48})
    assert reading_of(await meter(quality).measure(), "freshness", "posts").status == "HEALTHY"


async def test_a_table_whose_runs_brought_nothing_has_no_data(quality: Quality) -> None:
    await run(quality, "dead", Batch(dead=frozenset({"loader"})))
    posts = reading_of(await meter(quality).measure(), "freshness", "posts")
    assert (posts.status, posts.value, posts.note) == ("NO_DATA", None, "no run has loaded a row")


async def test_a_dataset_that_was_never_asked_for_is_not_looked_at(quality: Quality) -> None:
    await run(quality, "first")
    freshness = check_of(await meter(quality).measure(), "freshness")
    assert [reading.item for reading in freshness.readings] == ["posts"]


async def test_times_of_stages_run_from_the_stage_before(quality: Quality) -> None:
    await run(quality, "first", *(Batch(clean=True) for _ in range(20)))
    await quality.pool.execute(
        "UPDATE onpoint_runs.results SET produced_at = produced_at + (sequence + 1) * interval '1 second' "
        "WHERE stage = 'loader'"
    )
    report = await meter(quality, health_latency_p95_s=15).measure()
    assert reading_of(report, "latency", "loader p50").value == pytest.approx(10.5)
    slow = reading_of(report, "latency", "loader p95")
    assert slow.value == pytest.approx(19.05)
    assert (slow.status, slow.limit) == ("WARNING", 15)
    assert reading_of(report, "latency", "converter p95").value == 0
    assert reading_of(report, "latency", "crawler p50").value == 60


async def test_an_hour_without_work_is_healthy(quality: Quality) -> None:
    await run(quality, "first")
    await quality.pool.execute(
        "UPDATE onpoint_runs.results SET recorded_at = recorded_at - interval '2 hours'"
    )
    report = await meter(quality).measure()
    assert check_of(report, "latency").status == "HEALTHY"
    assert reading_of(report, "latency", "loader p95").note == "no batch in the last hour"
    assert reading_of(report, "error_rate", "batches").note == "no result in the last hour"


async def test_batches_that_wait_while_nothing_moves_have_failed(quality: Quality) -> None:
    story = Story("stands", {"posts": (Batch(clean=True), Batch(clean=True))})
    await quality.handle(*story.plans(), story.result("posts", 0, "crawler"))
    report = await meter(quality).measure()
    assert reading_of(report, "latency", "crawler queue").value == 1
    assert reading_of(report, "latency", "processor queue").value == 1
    assert check_of(report, "latency").status == "HEALTHY", "it has just begun"
    await quality.pool.execute(
        "UPDATE onpoint_runs.results SET recorded_at = recorded_at - interval '31 minutes'"
    )
    progress = reading_of(await meter(quality).measure(), "latency", "progress")
    assert (progress.status, progress.limit) == ("FAILED", 1800)
    assert progress.note == "2 batches wait; seconds since the last result"


@pytest.mark.parametrize(
    ("dead", "results", "status"),
    [(0, 50, "HEALTHY"), (1, 46, "HEALTHY"), (4, 34, "WARNING"), (10, 10, "FAILED")],
)
async def test_dead_batches_count_by_their_share(
    quality: Quality, dead: int, results: int, status: str
) -> None:
    """Of ten batches: one that is dead at the crawler has one result, another has five."""
    lost: list[Batch] = [Batch(clean=True, dead=frozenset({"crawler"}))] * dead
    await run(quality, "first", *lost, *[Batch(clean=True)] * (10 - dead))
    reading = reading_of(await meter(quality, health_error_ratio=0.1).measure(), "error_rate", "batches")
    assert reading.note == f"{dead} of {results} results are dead"
    assert reading.value == pytest.approx(dead / results, abs=0.001)
    assert reading.status == status


async def test_a_service_that_is_gone_has_failed_and_one_that_waits_is_a_warning(quality: Quality) -> None:
    async with service("waiting for Kafka") as waiting:
        gone = "crawler=http://127.0.0.1:1,processor=http://no.such.host.invalid:80"
        report = await meter(quality, health_services=f"{waiting},{gone}").measure()
    loader, crawler, processor = (
        reading_of(report, "resources", name) for name in ("loader", "crawler", "processor")
    )
    assert (loader.status, loader.note) == ("WARNING", "not ready: waiting for Kafka")
    assert (crawler.status, crawler.note) == ("FAILED", "it does not answer: ClientConnectorError")
    assert (processor.status, processor.note) == ("FAILED", "no.such.host.invalid has no address")
    assert report.status == "FAILED"


async def test_a_machine_that_is_full_is_a_warning(quality: Quality) -> None:
    async with service() as loader:
        report = await meter(quality, health_services=loader, health_used_ratio=0.000_001).measure()
    assert reading_of(report, "resources", "loader disk").status == "WARNING"


async def test_a_database_that_is_away_is_the_answer_and_no_error(quality: Quality) -> None:
    nowhere = "postgresql://a:b@127.0.0.1:1/c"
    async with asyncpg.create_pool(nowhere, min_size=0, max_size=1) as pool, service() as loader:
        away = HealthMeter(pool, settings(health_services=loader), quality.catalog)
        report = await away.measure()
    assert reading_of(report, "database", "answer").status == "FAILED"
    assert reading_of(report, "freshness", "freshness").note == "the database does not answer"
    assert check_of(report, "resources").status == "HEALTHY"
    assert report.status == "FAILED"


async def test_a_slow_database_is_a_warning(quality: Quality) -> None:
    report = await meter(quality, health_answer_s=0.000_1).measure()
    answer = reading_of(report, "database", "answer")
    assert answer.status in {"WARNING", "FAILED"}
    report = await meter(quality, health_active_connections=1).measure()
    assert reading_of(report, "database", "active").limit == 0


async def stale(quality: Quality, hours: float) -> None:
    await quality.pool.execute(
        "UPDATE onpoint_runs.runs SET finished_at = clock_timestamp() - $1::interval", timedelta(hours=hours)
    )


@pytest.fixture
def config() -> NewsConfig:
    channel = {"kind": "slack", "url": {"env": "NOT_READ_HERE"}}
    return NewsConfig.model_validate(
        {"channels": {"team": channel}, "routes": [{"to": ["team"], "kinds": ["health_changed"]}]}
    )


def service_of(quality: Quality, config: NewsConfig, **more: object) -> HealthService:
    chosen = settings(**more)
    return HealthService(
        lambda: HealthMeter(quality.pool, chosen, quality.catalog),
        HealthRepository(quality.pool, config),
        chosen.health_interval_s,
    )


async def test_a_change_of_state_is_news_and_a_state_that_goes_on_is_not(
    quality: Quality, config: NewsConfig
) -> None:
    outbox = Outbox(quality.pool)
    await run(quality, "first")
    async with service() as loader:
        more = {"health_services": loader}
        healthy = await service_of(quality, config, **more).report()
        assert healthy.status == "HEALTHY"
        assert await outbox.rows() == []
        await stale(quality, 26)
        first = await service_of(quality, config, **more).report()
        second = await service_of(quality, config, **more).report()
        since = [reading_of(report, "freshness", "posts").since for report in (first, second)]
        assert since == [first.measured_at, first.measured_at]
        assert check_of(second, "freshness").since == first.measured_at
        [row] = await outbox.rows()
        assert (row.title, row.severity) == ("health: freshness STALE: posts", "warning")
        await stale(quality, 1)
        await service_of(quality, config, **more).report()
    [recovered, _] = await outbox.rows()
    assert (recovered.title, recovered.severity) == ("health: freshness HEALTHY: posts", "info")


async def test_replicas_that_measure_at_once_tell_a_change_once(quality: Quality, config: NewsConfig) -> None:
    await run(quality, "first")
    await stale(quality, 26)
    async with service() as loader:
        services = [service_of(quality, config, health_services=loader) for _ in range(4)]
        await asyncio.gather(*(each.report() for each in services))
    assert [row.title for row in await Outbox(quality.pool).rows()] == ["health: freshness STALE: posts"]


async def test_what_is_not_there_any_more_is_forgotten(quality: Quality, config: NewsConfig) -> None:
    async with service() as loader:
        await service_of(quality, config, health_services=loader).report()
    await service_of(quality, config, health_services="crawler=http://127.0.0.1:1").report()
    items = await quality.pool.fetch("SELECT item FROM onpoint_news.health WHERE check_name = 'resources'")
    assert {row["item"] for row in items} == {"", "crawler"}


async def test_of_replicas_one_measures_in_an_interval(quality: Quality, config: NewsConfig) -> None:
    one, other = (service_of(quality, config) for _ in range(2))
    assert await one.measure_if_due()
    HEALTH_STATUS.clear()
    assert not await other.measure_if_due()
    assert level_of("resources") == 2, "it shows what the other one has found"
    await quality.pool.execute("UPDATE onpoint_news.health_report SET measured_at = $1", LONG_AGO)
    assert await other.measure_if_due()


def level_of(check: str) -> float | None:
    return REGISTRY.get_sample_value("onpoint_health_status", {"check": check})


async def test_who_asks_in_a_loop_gets_the_same_report(quality: Quality, config: NewsConfig) -> None:
    service_ = service_of(quality, config)
    reports = await asyncio.gather(*(service_.report() for _ in range(20)))
    assert len({report.measured_at for report in reports}) == 1
