"""A database of the version before, with runs in it."""

import asyncpg
import pytest

from shared.postgres.migrations import find_migrations, migrate
from tests.integration.quality.conftest import Quality
from tests.integration.quality.test_completion import small

pytestmark = pytest.mark.integration

DOWN = """
DROP SCHEMA onpoint_runs CASCADE;
DROP SCHEMA onpoint_news CASCADE;
DELETE FROM onpoint_meta.migrations WHERE service = 'quality';
"""

ENDED = """
INSERT INTO onpoint_runs.runs (run_id, datasets, requested_at, drained_state, status, finished_at, request)
VALUES
    ('before', '{posts}', now(), 'announced', 'succeeded', now(), '{"replay_of": "older", "formats": ["csv"]}'),
    ('hostile', '{posts}', now(), 'announced', 'succeeded', now(), '{"requested_by": "\\u0000"}'),
    ('plain', '{posts}', now(), 'announced', 'succeeded', now(), '{"replay_of": null, "formats": null}'),
    ('bare', NULL, now(), NULL, NULL, NULL, NULL);
INSERT INTO onpoint_runs.results (batch_id, stage, run_id, dataset, sequence, status, rows_accepted, rows_rejected,
    rows_deduplicated, rows_loaded, rows_superseded, artifacts, missing)
VALUES ('b', 'loader', 'before', 'posts', 0, 'dead', 0, 0, 0, 0, 0, '[]', '[]');
"""


async def test_runs_of_the_version_before_stay_and_their_listings_are_left_alone(
    postgres_dsn: str, quality: Quality
) -> None:
    steps = find_migrations("services.quality")
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute(DOWN)
    await migrate(postgres_dsn, steps[:1], [])
    await connection.execute(ENDED)
    assert await migrate(postgres_dsn, steps, []) == [f"quality: {later.name}" for later in steps[1:]]
    await connection.close()
    await quality.pool.expire_connections()
    assert await quality.listings.catch_up() == 0
    rows = await quality.pool.fetch(
        "SELECT run_id, status, superseded_by, replay_of FROM onpoint_runs.v_runs"
    )
    assert sorted(tuple(row) for row in rows) == [
        ("bare", "running", None, None),
        ("before", "succeeded", None, "older"),
        ("hostile", "succeeded", None, None),
        ("plain", "succeeded", None, None),
    ]
    assert await quality.pool.fetchval("SELECT count(*) FROM onpoint_runs.v_sweep_runs") == 4
    formats = await quality.pool.fetch("SELECT formats FROM onpoint_runs.runs ORDER BY run_id")
    assert [row["formats"] for row in formats] == [None, ["csv"], None, None]
    await quality.handle(*small("after").events())
    assert (await quality.complete("after")).status == "succeeded"
