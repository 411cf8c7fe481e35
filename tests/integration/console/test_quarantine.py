"""Refused rows from staging to the screen, on a real PostgreSQL and object store."""

import csv
import hashlib
import io
import json
import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
import zstandard

from deploy.local.stack import LocalStack
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore, open_s3
from tests.integration.console.played import Onpoint

pytestmark = pytest.mark.integration


@pytest.fixture
def staging(s3_environment: dict[str, str]) -> ObjectStore:
    settings = load_settings(ObjectStoreSettings, s3_environment)
    return open_s3(settings, settings.staging_bucket)


@pytest.fixture
async def run_id(ledger: asyncpg.Connection, components: LocalStack) -> str:  # noqa: ARG001 - the servers
    """A run that is over, without a refused row."""
    run_id = f"refused-{uuid.uuid4().hex[:8]}"
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_runs (run_id, status, requested_at, datasets) "
        "VALUES ($1, 'running', now(), '{posts,users}')",
        run_id,
    )
    return run_id


def line(position: int, reason: str = "type", **changes: Any) -> dict[str, Any]:
    return {
        "source_position": position,
        "reason": reason,
        "detail": f"row {position} is odd",
        "url": "https://example.org/posts?_page=1",
        "raw": f'{{"id": "{position}"}}',
    } | changes


async def refuse(
    ledger: asyncpg.Connection,
    staging: ObjectStore,
    run_id: str,
    lines: Sequence[dict[str, Any]],
    *,
    dataset: str = "posts",
    sequence: int = 0,
    stage: str = "processor",
    with_reasons: bool = True,
) -> str:
    """Puts a batch's refused rows where a stage puts them; returns their key."""
    data = zstandard.compress(b"".join(json.dumps(one).encode() + b"\n" for one in lines))
    sha256 = hashlib.sha256(data).hexdigest()
    key = f"runs/{run_id}/{dataset}/{stage}/{sha256}.quarantine.jsonl.zst"
    await staging.put(key, data)
    clean = {"uri": staging.uri("x"), "format": "parquet", "rows": 1, "bytes": 1, "sha256": sha256}
    refused = clean | {
        "uri": staging.uri(key),
        "format": "quarantine.jsonl.zst",
        "rows": len(lines),
        "bytes": len(data),
    }
    counts: dict[str, int] = {}
    for one in lines if with_reasons else ():
        counts[one["reason"]] = counts.get(one["reason"], 0) + 1
    await ledger.execute(
        "INSERT INTO onpoint_runs.v_audit_results (batch_id, stage, run_id, dataset, sequence, status, artifacts, "
        "rejected_by_reason) VALUES ($1, $2, $3, $4, $5, 'done', $6, $7)",
        f"{sequence:032x}",
        stage,
        run_id,
        dataset,
        sequence,
        json.dumps([clean, refused]),
        json.dumps(counts),
    )
    return key


async def test_rows_of_every_dataset_batch_and_stage_are_shown_in_order(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore, run_id: str
) -> None:
    await refuse(ledger, staging, run_id, [line(7)], dataset="users")
    await refuse(ledger, staging, run_id, [line(1000)], sequence=1)
    await refuse(ledger, staging, run_id, [line(2, "too_large")], stage="loader")
    await refuse(ledger, staging, run_id, [line(0), line(1, "fetch")])

    result = await onpoint("quarantine", run_id, "--json")
    assert (result.code, result.err) == (0, "")
    found = [json.loads(text) for text in result.out.splitlines()]
    assert [(row["dataset"], row["stage"], row["source_position"]) for row in found] == [
        ("posts", "processor", 0),
        ("posts", "processor", 1),
        ("posts", "loader", 2),
        ("posts", "processor", 1000),
        ("users", "processor", 7),
    ]
    assert found[0] == {"dataset": "posts", "stage": "processor", "batch_id": "0" * 32, **line(0)}

    shown = (await onpoint("quarantine", run_id)).out
    assert "row 1000 is odd" in shown
    assert "https://example.org/posts?_page=1" in shown
    assert '{"id": "1000"}' in shown
    assert (
        shown.splitlines()[-1]
        == "5 refused rows: 3 of a wrong type (type), 1 not fetched (fetch), 1 too large (too_large)"
    )

    status = (await onpoint("status", run_id, COLUMNS="160")).out
    counts = "2 of a wrong type (type), 1 not fetched (fetch), 1 too large (too_large)"
    assert f"posts  {counts}" in status
    assert f"onpoint quarantine {run_id} shows them" in status


async def test_filters_and_limits(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore, run_id: str
) -> None:
    await refuse(ledger, staging, run_id, [line(n) for n in range(50)])
    await refuse(ledger, staging, run_id, [line(99, "fetch")], dataset="users")
    await refuse(ledger, staging, run_id, [line(98, "fetch"), line(97)], sequence=1, with_reasons=False)

    fetched = (await onpoint("quarantine", run_id, "--reason", "fetch", "--json")).out.splitlines()
    assert [json.loads(text)["source_position"] for text in fetched] == [98, 99]
    users = (await onpoint("quarantine", run_id, "users", "--json")).out.splitlines()
    assert [json.loads(text)["source_position"] for text in users] == [99]
    assert len((await onpoint("quarantine", run_id, "--json", "--limit", "3")).out.splitlines()) == 3
    shown = (await onpoint("quarantine", run_id)).out
    assert shown.count(" is odd") == 20
    assert "the first 20 of 51 refused rows (50 of a wrong type (type), 1 not fetched (fetch))" in shown


async def test_a_table_for_spreadsheets_has_every_row_and_no_formula(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore, run_id: str
) -> None:
    await refuse(ledger, staging, run_id, [line(n, raw="=1+1\x1b[31m") for n in range(30)])

    result = await onpoint("quarantine", run_id, "--csv")
    rows = list(csv.DictReader(io.StringIO(result.out, newline="")))
    assert len(rows) == 30
    assert {row["raw"] for row in rows} == {"'=1+1\\x1b[31m"}
    assert "\x1b" not in result.out


async def test_that_there_is_nothing_is_not_a_failure(onpoint: Onpoint, run_id: str) -> None:
    result = await onpoint("quarantine", run_id)
    assert (result.code, result.out) == (0, f"run {run_id} has no refused rows so far\n")
    result = await onpoint("quarantine", run_id, "--json")
    assert (result.code, result.out) == (0, "")


async def test_an_unknown_run_names_near_ones_and_an_unknown_dataset_too(
    onpoint: Onpoint, run_id: str
) -> None:
    result = await onpoint("quarantine", run_id[:-1])
    assert (result.code, result.out) == (1, "")
    assert f"did you mean {run_id}?" in result.err
    result = await onpoint("quarantine", run_id, "post")
    assert (result.code, result.out) == (2, "")
    assert "did you mean posts?" in result.err


async def test_rows_that_were_swept_are_told(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore, run_id: str
) -> None:
    await staging.delete(await refuse(ledger, staging, run_id, [line(1)]))

    result = await onpoint("quarantine", run_id)
    assert result.code == 1
    assert f"the refused rows of run {run_id} are no longer stored" in result.err
    assert result.err.count("\n") == 1


async def test_an_object_store_that_is_away_is_one_sentence(
    onpoint: Onpoint, ledger: asyncpg.Connection, staging: ObjectStore, run_id: str
) -> None:
    await refuse(ledger, staging, run_id, [line(1)])

    result = await onpoint("quarantine", run_id, ONPOINT_S3_ENDPOINT_URL="http://127.0.0.1:1")
    assert result.code == 1
    assert result.err.startswith("onpoint: the refused rows cannot be read: s3://")
    assert result.err.endswith(": the object store does not answer at http://127.0.0.1:1\n")


async def test_a_closed_pipe_ends_the_command_without_an_error(
    start: Any, ledger: asyncpg.Connection, staging: ObjectStore, run_id: str
) -> None:
    await refuse(ledger, staging, run_id, [line(n, raw="x" * 10_000) for n in range(200)])

    process = await start("quarantine", run_id, "--json")
    await process.stdout.readline()
    process.stdout._transport.close()  # noqa: SLF001 - as `head -1` does
    await process.wait()
    assert await process.stderr.read() == b""
