"""What the ledger tells of the pipeline's state: its views, and the metrics that are made of them."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from console.client.ledger import Ledger
from services.quality.adapters.state import MOST_DATASETS, StateRepository
from services.quality.service.state import PipelineMetrics
from shared.events.topology import STAGES
from shared.observability.registry import REGISTRY
from tests.integration.quality.conftest import Quality
from tests.integration.quality.story import Batch, Story

pytestmark = pytest.mark.integration


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"onpoint_{name}", labels)


async def shown(quality: Quality) -> None:
    await PipelineMetrics(StateRepository(quality.pool)).refresh()


async def told(quality: Quality, story: Story, *stages: str, batches: Sequence[int] = ()) -> None:
    """The plans, and the results of these stages, of all batches or of some."""
    await quality.handle(*story.plans())
    for dataset, planned in story.datasets.items():
        for sequence in batches or range(len(planned)):
            await quality.handle(
                *(story.result(dataset, sequence, stage) for stage in STAGES if stage in stages)
            )


async def age(quality: Quality, run_id: str, seconds: float) -> None:
    """Moves what the ledger has of a run into the past."""
    for table, columns in (
        ("runs", ("requested_at", "started_at", "finished_at")),
        ("results", ("recorded_at",)),
    ):
        moves = ", ".join(f"{column} = {column} - make_interval(secs => $2)" for column in columns)
        await quality.pool.execute(
            f"UPDATE onpoint_runs.{table} SET {moves} WHERE run_id = $1", run_id, seconds
        )


async def test_a_run_that_goes_on_is_shown_by_dataset_and_stage(quality: Quality) -> None:
    story = Story("open", {"posts": (Batch(100, clean=True),) * 4})
    await told(quality, story, "crawler", "processor", batches=(0, 1))
    await told(quality, story, "crawler", batches=(2,))
    await shown(quality)
    of_run = {"run": "open", "dataset": "posts"}
    assert value("run_promised_rows", **of_run) == 400
    assert value("run_rows", **of_run, stage="crawler") == 300
    assert value("run_rows_to_go", **of_run, stage="crawler") == 100
    assert value("run_rows_to_go", **of_run, stage="processor") == 200
    assert value("run_rows_to_go", **of_run, stage="loader") == 400
    assert (value("run_rows_per_second", **of_run, stage="crawler") or 0) > 0
    assert (value("run_stage_eta_seconds", **of_run, stage="crawler") or 0) > 0
    assert value("run_stage_eta_seconds", **of_run, stage="loader") is None, "it has no result yet"
    assert value("run_eta_seconds", run="open") is None
    assert value("open_runs") == 1


async def test_a_run_that_has_ended_is_no_longer_shown(quality: Quality) -> None:
    story = Story("ended", {"posts": (Batch(10),)})
    await told(quality, story, "crawler")
    await shown(quality)
    assert value("run_rows", run="ended", dataset="posts", stage="crawler") == 10
    await quality.handle(*story.results("posts")[1:])
    await quality.complete("ended")
    await shown(quality)
    assert value("run_rows", run="ended", dataset="posts", stage="crawler") is None
    assert value("open_runs") == 0


async def test_what_is_shown_is_of_the_newest_runs_and_bounded_and_the_rest_is_counted(
    quality: Quality,
) -> None:
    for number in range(MOST_DATASETS + 7):
        await quality.handle(*Story(f"run-{number:03}", {"posts": (Batch(10),)}).plans())
        await age(quality, f"run-{number:03}", 1000 - number)
    await shown(quality)
    assert value("open_runs") == MOST_DATASETS + 7
    assert value("run_datasets_hidden") == 7
    assert value("run_promised_rows", run="run-006", dataset="posts") is None
    assert value("run_promised_rows", run="run-007", dataset="posts") == 10
    series = sum(
        len(family.samples) for family in REGISTRY.collect() if family.name.startswith("onpoint_run_")
    )
    assert series <= 27 * MOST_DATASETS


async def test_the_oldest_batch_that_waits_for_a_stage_has_an_age(quality: Quality) -> None:
    story = Story("waits", {"posts": (Batch(10), Batch(10))})
    await told(quality, story, "crawler", "processor", "loader", batches=(0,))
    await age(quality, "waits", 100)
    await told(quality, story, "crawler", "processor", "converter", "s3sink", batches=(1,))
    await shown(quality)
    ages = {stage: value("oldest_unfinished_batch_age_seconds", stage=stage) or 0.0 for stage in STAGES[1:]}
    assert ages["processor"] == 0
    assert ages["loader"] == pytest.approx(0, abs=10)
    assert ages["converter"] == pytest.approx(100, abs=10)
    assert ages["s3sink"] == pytest.approx(100, abs=10)


async def test_shares_of_success_are_of_the_last_24_hours(quality: Quality) -> None:
    await shown(quality)
    assert (value("run_success_ratio"), value("row_success_ratio")) == (1, 1)
    for run_id, batch in (("good", Batch(80, clean=True)), ("bad", Batch(20, dead=frozenset({"processor"})))):
        story = Story(run_id, {"posts": (batch,)})
        await quality.handle(*story.events())
        await quality.complete(run_id)
    await shown(quality)
    assert (value("run_success_ratio"), value("row_success_ratio")) == (0.5, 0.8)
    await age(quality, "bad", 25 * 3600)
    await shown(quality)
    assert (value("run_success_ratio"), value("row_success_ratio")) == (1, 1)


async def rows(pool: asyncpg.Pool, query: str, *values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await pool.fetch(query, *values)]


async def test_freshness_is_the_newest_run_whose_rows_are_all_in_the_table(quality: Quality) -> None:
    whole = Story("whole", {"posts": (Batch(100, clean=True),), "users": (Batch(10, clean=True),)})
    await quality.handle(*whole.events())
    await age(quality, "whole", 3600)
    lossy = Story("lossy", {"posts": (Batch(100), Batch(50, dead=frozenset({"loader"})))})
    await quality.handle(*lossy.events())
    await told(quality, Story("halfway", {"posts": (Batch(10),)}), "crawler", "processor")
    await told(quality, Story("never", {"comments": (Batch(10),)}), "crawler")
    found = await rows(
        quality.pool, "SELECT dataset, run_id, rows FROM onpoint_runs.v_freshness ORDER BY dataset"
    )
    assert found == [
        {"dataset": "comments", "run_id": None, "rows": None},
        {"dataset": "posts", "run_id": "whole", "rows": 100},
        {"dataset": "users", "run_id": "whole", "rows": 10},
    ]


async def test_rows_that_postgresql_refused_are_not_in_the_table(quality: Quality) -> None:
    await quality.handle(*Story("whole", {"posts": (Batch(100, clean=True),)}).events())
    await age(quality, "whole", 3600)
    await quality.handle(*Story("refused", {"posts": (Batch(100, clean=True),)}).events())
    await quality.pool.execute(
        "UPDATE onpoint_runs.results SET rows_rejected = 1 WHERE run_id = 'refused' AND stage = 'loader'"
    )
    assert await quality.pool.fetchval("SELECT run_id FROM onpoint_runs.v_freshness") == "whole"


async def test_the_usual_duration_is_of_the_last_14_runs_of_a_kind(quality: Quality) -> None:
    await quality.pool.execute(
        """
        INSERT INTO onpoint_runs.runs (run_id, datasets, requested_by, requested_at, finished_at, status, rows_crawled)
        SELECT 'run-' || n, '{b,a}', 'cron', timestamptz '2026-11-01' + n * interval '1 day',
            timestamptz '2026-11-01' + n * interval '1 day' + n * interval '1 minute', 'succeeded', 100
        FROM generate_series(1, 15) AS n
        """
    )
    await quality.pool.execute("UPDATE onpoint_runs.runs SET status = 'failed' WHERE run_id = 'run-15'")
    found = await rows(quality.pool, "SELECT * FROM onpoint_runs.v_usual")
    assert found == [
        {
            "requested_by": "cron",
            "datasets": ["a", "b"],
            "runs": 14,
            "median_s": 7.5 * 60,
            "p90_s": pytest.approx(12.7 * 60),
            "median_rows": 100.0,
        }
    ]


async def test_the_rows_of_an_ended_run_are_columns_also_where_an_earlier_version_completed_it(
    quality: Quality,
) -> None:
    story = Story("ended", {"posts": (Batch(100),), "users": (Batch(20, clean=True),)})
    await quality.handle(*story.events())
    await quality.complete("ended")
    names = ("rows_crawled", "rows_accepted", "rows_rejected", "rows_loaded", "rows_stored")
    columns = f"SELECT {', '.join(names)} FROM onpoint_runs"
    [of_run] = await rows(quality.pool, f"{columns}.runs")
    assert tuple(of_run.values()) == (120, 105, 10, 105, 105)
    assert await rows(quality.pool, f"{columns}.v_runs") == [of_run]
    await quality.pool.execute(f"UPDATE onpoint_runs.runs SET {' = NULL, '.join(names)} = NULL")
    assert await rows(quality.pool, f"{columns}.v_runs") == [of_run]


async def test_a_page_of_runs_of_a_status_is_read_by_its_index(quality: Quality) -> None:
    await quality.pool.execute(
        """
        INSERT INTO onpoint_runs.runs (run_id, requested_at, finished_at, status)
        SELECT 'run-' || n, now() - n * interval '1 minute', now(), CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'succeeded' END
        FROM generate_series(1, 10000) AS n
        """
    )
    await quality.pool.execute("ANALYZE onpoint_runs.runs")
    plan = await quality.pool.fetch(
        "EXPLAIN SELECT run_id FROM onpoint_runs.v_runs WHERE status = 'failed' ORDER BY requested_at DESC LIMIT 50"
    )
    assert any("runs_by_status" in row[0] for row in plan), "\n".join(row[0] for row in plan)


async def test_the_console_reads_how_fast_stages_are(quality: Quality, postgres_dsn: str) -> None:
    story = Story("open", {"posts": (Batch(100, clean=True),) * 4})
    await told(quality, story, "crawler", "processor", batches=(0, 1))
    ledger = await Ledger.connect(postgres_dsn)
    try:
        found = {stage.stage: stage for stage in await ledger.progress("open")}
    finally:
        ledger.close()
    assert found["crawler"].record.rows == 200
    assert found["crawler"].record.half_batches == 1
    assert found["processor"].record.begun_at is not None
    assert found["loader"].record.last_at is None
