import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from console.client.ledger import LedgerUnavailableError, open_ledger
from tests.integration.console.played import Onpoint, completed

pytestmark = pytest.mark.integration

ASKED = datetime(2026, 11, 23, 5, 15, 30, tzinfo=UTC)

SHAPE = """
SELECT c.table_name || '.' || c.column_name, c.udt_name FROM information_schema.columns c
WHERE c.table_schema = 'onpoint_runs' AND c.table_name IN (
    'v_runs', 'v_progress', 'v_stage_times', 'v_waiting', 'v_results', 'v_audit_results', 'v_combined_exports'
)
"""


async def remember(ledger: asyncpg.Connection, run_id: str, status: str, *, hours: int = 0) -> None:
    value = None if status == "running" else json.dumps(completed(run_id, status))
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_runs (run_id, status, requested_by, requested_at, started_at, finished_at, datasets, "
        "completed, rows_accepted) VALUES ($1, $2, 'me', $3, $3, $4, '{posts,users}', $5, $6)",
        run_id,
        status,
        ASKED + timedelta(hours=hours),
        None if value is None else ASKED + timedelta(hours=hours, seconds=75),
        value,
        None if value is None else 100,
    )


async def test_the_views_of_the_quality_service_have_the_shape_that_these_tests_play(
    ledger: asyncpg.Connection, postgres_dsn: str
) -> None:
    real = await asyncpg.connect(postgres_dsn)
    try:
        shapes = [{tuple(row) for row in await connection.fetch(SHAPE)} for connection in (real, ledger)]
    finally:
        await real.close()
    assert shapes[0] == shapes[1]


async def test_the_real_views_answer_every_question(postgres_dsn: str) -> None:
    async with open_ledger(postgres_dsn) as ledger:
        assert await ledger.runs(5) == []
        assert await ledger.run("r1") is None
        assert await ledger.progress("r1") == []
        assert await ledger.done_stages(["b1"]) == []
        assert await ledger.rejections("r1") == {}
        assert await ledger.combined_exports("r1") == []
        assert [file async for file in ledger.quarantine("r1", ["posts"], None)] == []


async def test_the_command_line_cannot_write_even_by_mistake(postgres_dsn: str) -> None:
    async with open_ledger(postgres_dsn) as ledger:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await ledger._connection.execute("CREATE TABLE public.t ()")  # noqa: SLF001 - there is no other way to it


async def test_a_database_without_a_ledger_is_reported_with_what_to_do(
    ledger: asyncpg.Connection, settings: dict[str, str]
) -> None:
    await ledger.execute("DROP SCHEMA onpoint_runs CASCADE")

    async with open_ledger(settings["ONPOINT_POSTGRES_DSN"]) as reader:
        with pytest.raises(LedgerUnavailableError, match="onpoint migrate"):
            await reader.runs(1)


async def test_a_database_that_is_not_there_is_one_sentence_without_the_password(onpoint: Onpoint) -> None:
    result = await onpoint("runs", ONPOINT_POSTGRES_DSN="postgresql://me:secret@127.0.0.1:1/x")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("onpoint: PostgreSQL, where the run ledger is, does not answer: ")
    assert "secret" not in result.err
    assert result.err.count("\n") == 1


async def test_the_latest_runs_come_first(onpoint: Onpoint, ledger: asyncpg.Connection) -> None:
    await remember(ledger, "monday", "succeeded", hours=0)
    await remember(ledger, "tuesday", "failed", hours=24)
    await remember(ledger, "wednesday", "running", hours=48)

    table = await onpoint("runs", "--limit", "2")
    document = await onpoint("runs", "--json")

    assert "tuesday" in table.out
    assert "monday" not in table.out
    runs = json.loads(document.out)
    assert [run["run_id"] for run in runs] == ["wednesday", "tuesday", "monday"]
    assert [run["rows_accepted"] for run in runs] == [None, 100, 100]
    assert runs[2]["requested_at"] == "2026-11-23T05:15:30.000000Z"


async def test_no_runs_is_not_an_error(onpoint: Onpoint) -> None:
    assert (await onpoint("runs")).out == "there are no runs yet: start one with `onpoint run --all --wait`\n"
    assert json.loads((await onpoint("runs", "--json")).out) == []


async def test_the_status_of_a_running_run_is_its_progress(
    onpoint: Onpoint, ledger: asyncpg.Connection
) -> None:
    await remember(ledger, "now", "running")
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_progress VALUES ('now', 'posts', 'crawler', 4, 200000, 1, 1, 50000)"
    )
    shown = await onpoint("status", "now")
    document = await onpoint("status", "now", "--json")

    assert shown.code == document.code == 0
    assert "2/4 (1 dead)" in shown.out
    assert "50,000 rows" in shown.out
    value = json.loads(document.out)
    assert value["completed"] is None
    [stage] = value["progress"]
    assert (stage["batches_planned"], stage["batches_done"], stage["batches_dead"], stage["rows"]) == (
        4,
        1,
        1,
        50_000,
    )
    assert (stage["rows_to_go"], stage["left_s"], value["left_s"]) == (50_000, None, None)


_READERS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'onpoint_console' AND datname = current_database()
"""
"""Consoles that watch: each has one connection."""


async def test_a_watched_run_is_shown_until_it_has_ended_and_then_its_result(
    onpoint: Onpoint, ledger: asyncpg.Connection
) -> None:
    await remember(ledger, "watched", "running")
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_progress VALUES ('watched', 'posts', 'crawler', 4, 200000, 1, 0, 50000)"
    )

    async def end() -> None:
        while await ledger.fetchval(_READERS) < 2:
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        async with ledger.transaction():
            await ledger.execute("DELETE FROM onpoint_runs.v_runs WHERE run_id = 'watched'")
            await remember(ledger, "watched", "partial")

    lines, people, _ = await asyncio.gather(
        onpoint("status", "watched", "--watch", "--json"), onpoint("status", "watched", "--watch"), end()
    )
    first, *_, last = [json.loads(line) for line in lines.out.splitlines()]
    assert (lines.code, people.code) == (1, 1)
    assert (first["status"], first["progress"][0]["batches_done"]) == ("running", 1)
    assert (last["status"], last["completed"]["run_id"]) == ("partial", "watched")
    assert "crawl 1/4 batches" in people.err
    assert "watched  partial" in people.out


@pytest.mark.parametrize(
    ("status", "code"), [("succeeded", 0), ("partial", 1), ("failed", 1), ("cancelled", 1)]
)
async def test_the_status_of_a_run_that_is_over_is_its_result(
    onpoint: Onpoint, ledger: asyncpg.Connection, status: str, code: int
) -> None:
    await remember(ledger, "then", status)
    shown = await onpoint("status", "then")
    document = await onpoint("status", "then", "--json")

    assert shown.code == document.code == code
    assert f"then  {status}" in shown.out
    assert "where to look" in shown.out
    assert json.loads(document.out)["completed"]["status"] == status


async def test_an_unknown_run_is_answered_with_those_it_may_have_been(
    onpoint: Onpoint, ledger: asyncpg.Connection
) -> None:
    await remember(ledger, "2026-11-23-daily", "succeeded")

    near = await onpoint("status", "2026-11-24-daily")
    far = await onpoint("status", uuid.uuid4().hex)

    assert (near.code, far.code) == (1, 1)
    assert near.err == "onpoint: there is no run 2026-11-24-daily; did you mean 2026-11-23-daily?\n"
    assert "see `onpoint runs`" in far.err
