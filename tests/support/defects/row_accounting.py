"""Single defects of row accounting, and of runs, batches and objects that never end."""

import json
from collections.abc import AsyncIterator

import asyncpg

from tests.support.damaged_stack import DamagedStack, Defects

RESULTS = "onpoint_runs.results"
VERDICTS = "onpoint_runs.verdicts"
RUNS = "onpoint_runs.runs"
DATASETS = "onpoint_runs.datasets"
LOADED = "onpoint_loader.loaded_batches"
STORED = "onpoint_lake.batches"
OBJECTS = "onpoint_lake.objects"

defect = Defects()


def _statement(invariant: str, title: str, table: str, sql: str, *, subject: str | None = None) -> None:
    """About the first batch of posts in the first run, which `$1` names and which is what must be named."""

    @defect(invariant, title)
    async def seed(target: DamagedStack) -> AsyncIterator[str]:
        batch_id = await target.batch()
        arguments = [batch_id] if "$1" in sql else []
        async with target.altered(table, sql, *arguments):
            yield subject or batch_id


def _result(title: str, change: str, stage: str) -> None:
    _statement(
        "I2", title, RESULTS, f"UPDATE {RESULTS} SET {change} WHERE batch_id = $1 AND stage = '{stage}'"
    )


_result("the ledger has crawled a row more", "rows_read = rows_read + 1", "crawler")
_result("the ledger has accepted a row less", "rows_accepted = rows_accepted - 1", "processor")
_result("the ledger has rejected a row more", "rows_rejected = rows_rejected + 1", "processor")
_result("the ledger has deduplicated a row more", "rows_deduplicated = rows_deduplicated + 1", "processor")
_result("the ledger has filtered a row more", "rows_filtered = rows_filtered + 1", "processor")
_result("the ledger has added a row more", "rows_added = rows_added + 1", "processor")
_result("the ledger has loaded a row less", "rows_loaded = rows_loaded - 1", "loader")
_result("a row changed sides between loaded and superseded",
        "rows_loaded = rows_loaded - 1, rows_superseded = rows_superseded + 1", "loader")  # fmt: skip
_result("PostgreSQL refused a row that was loaded", "rows_rejected = rows_rejected + 1", "loader")
_result("refused rows have more reasons than rows", """rejected_by_reason = '{"type": 1000}'""", "processor")
_result("more rows repeat others than were superseded", "repeated = rows_superseded + 1", "loader")
_result(
    "the ledger has stored a row more",
    "rows_read = rows_read + 1, rows_accepted = rows_accepted + 1",
    "s3sink",
)
_result("a batch that is done is dead in the ledger", "status = 'dead', reason = 'handler'", "loader")
_result("the ledger names no file of a batch", "artifacts = '[]'", "converter")

for name in ("crawler", "processor", "converter", "loader", "s3sink"):
    _statement(
        "I2",
        f"the ledger lost a batch at {name}",
        RESULTS,
        f"DELETE FROM {RESULTS} WHERE batch_id = $1 AND stage = '{name}'",
        subject=f"batch 0 of first/posts at {name}",
    )

_statement("I2", "the loader lost a batch", LOADED, f"DELETE FROM {LOADED} WHERE batch_id = $1")
_statement("I2", "the loader counts otherwise", LOADED,
           f"UPDATE {LOADED} SET rows_superseded = rows_superseded + 1 WHERE batch_id = $1")  # fmt: skip
_statement("I2", "the loader has an unknown batch", LOADED,
           f"INSERT INTO {LOADED} SELECT repeat('c', 32), run_id, dataset, status, 1, 0, result FROM {LOADED} "
           "WHERE batch_id = $1", subject="c" * 32)  # fmt: skip
_statement("I2", "the sink lost a batch", STORED, f"DELETE FROM {STORED} WHERE batch_id = $1")
_statement(
    "I2", "the sink counts otherwise", STORED, f"UPDATE {STORED} SET rows = rows + 1 WHERE batch_id = $1"
)
_statement("I2", "the sink has a batch in no object", STORED,
           f"UPDATE {STORED} SET object_name = NULL WHERE batch_id = $1")  # fmt: skip
_statement("I2", "the ledger has a batch that was not planned", RESULTS,
           f"INSERT INTO {RESULTS} SELECT repeat('d', 32), stage, run_id, dataset, 7, status, reason, detail, rows_read, "
           "rows_accepted, rows_rejected, rows_deduplicated, rows_loaded, rows_superseded, artifacts, missing, produced_at "
           f"FROM {RESULTS} WHERE batch_id = $1 AND stage = 'crawler'", subject="d" * 32)  # fmt: skip
_statement("I2", "a batch more was planned than came", DATASETS,
           f"UPDATE {DATASETS} SET batches_planned = batches_planned + 1 WHERE run_id = 'first' AND dataset = 'posts'",
           subject="batch 1 of first/posts at crawler")  # fmt: skip
_statement("I2", "run.completed has lost a dataset", VERDICTS,
           f"UPDATE {VERDICTS} SET value = (value::jsonb #- '{{datasets,posts}}')::json WHERE run_id = 'first'",
           subject="run.completed of first")  # fmt: skip
_statement("I2", "run.completed counts otherwise", VERDICTS,
           f"UPDATE {VERDICTS} SET value = jsonb_set(value::jsonb, '{{datasets,posts,rows_loaded}}', '1')::json "
           "WHERE run_id = 'first'", subject="run.completed of first")  # fmt: skip
_statement("I2", "run.completed gives other reasons than rows were rejected for", VERDICTS,
           f"UPDATE {VERDICTS} SET value = jsonb_set(value::jsonb, '{{datasets,posts,rejected_by_reason}}', "
           "'{\"type\": 1000}')::json WHERE run_id = 'first'", subject="run.completed of first")  # fmt: skip
_statement("I4", "the ledger's verdict differs from the published one", VERDICTS,
           f"UPDATE {VERDICTS} SET value = jsonb_set(value::jsonb, '{{reason}}', '\"other\"')::json WHERE run_id = 'first'",
           subject="record run.completed-0")  # fmt: skip
_statement("I5", "a run never ends", RUNS, f"UPDATE {RUNS} SET status = NULL WHERE run_id = 'second'",
           subject="run second")  # fmt: skip
_statement("I5", "a lake object was written and not published", OBJECTS,
           f"UPDATE {OBJECTS} SET state = 'written' WHERE run_id = 'first' AND dataset = 'posts'",
           subject="of first/posts")  # fmt: skip
_statement("I5", "a batch waits for an object", STORED,
           f"UPDATE {STORED} SET status = 'pending' WHERE batch_id = $1")  # fmt: skip
_statement(
    "I5",
    "a dead batch was not published",
    STORED,
    f"UPDATE {STORED} SET unannounced = true WHERE batch_id = $1",
)
_statement("I6", "an event's result was lost", RESULTS, f"DELETE FROM {RESULTS} WHERE batch_id = $1 AND stage = 'converter'",
           subject="record batch.processed")  # fmt: skip
_statement("I6", "a run was forgotten", RUNS, f"UPDATE {RUNS} SET status = NULL WHERE run_id = 'second'",
           subject="record crawl.requested")  # fmt: skip


@defect("I4", "a run has ended without run.completed")
async def unpublished(target: DamagedStack) -> AsyncIterator[str]:
    run = f"INSERT INTO {RUNS} (run_id, requested_at, status, finished_at) VALUES ('unpublished', now(), 'failed', now())"
    async with target.altered(RUNS, run):
        yield "run.completed of unpublished"


@defect("I2", "a manifest is gone from staging")
async def no_manifest(target: DamagedStack) -> AsyncIterator[str]:
    batch_id = await target.batch()
    async with target.put(
        f"s3://{target.pipeline.staging_bucket}/runs/first/posts/processor/{batch_id}.json", None
    ):
        yield batch_id


@defect("I2", "a manifest counts otherwise")
async def other_manifest(target: DamagedStack) -> AsyncIterator[str]:
    def change(data: bytes) -> bytes:
        manifest = json.loads(data)
        manifest["counts"]["accepted"] += 1
        return json.dumps(manifest).encode()

    batch_id = await target.batch()
    uri = f"s3://{target.pipeline.staging_bucket}/runs/first/posts/converter/{batch_id}.json"
    async with target.damaged(uri, change):
        yield batch_id


@defect("I2", "a manifest lies under the name of another batch")
async def misplaced_manifest(target: DamagedStack) -> AsyncIterator[str]:
    batch_id = await target.batch()
    folder = f"s3://{target.pipeline.staging_bucket}/runs/first/posts/processor/"
    async with target.put(f"{folder}{'e' * 32}.json", target.pipeline.read(f"{folder}{batch_id}.json")):
        yield f"{'e' * 32}.json"


@defect("I2", "a manifest cannot be read")
async def no_json(target: DamagedStack) -> AsyncIterator[str]:
    uri = f"s3://{target.pipeline.staging_bucket}/runs/first/posts/crawler/{await target.batch()}.json"
    async with target.put(uri, b"{"):
        yield uri


@defect("I5", "a session waits in a transaction")
async def idle(target: DamagedStack) -> AsyncIterator[str]:
    dsn = target.pipeline.environment["ONPOINT_POSTGRES_DSN"]
    other = await asyncpg.connect(dsn, server_settings={"application_name": "onpoint_forgetful"})
    await other.execute("BEGIN; SELECT 1")
    while not await target.value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'onpoint_forgetful' "
        "AND clock_timestamp() - state_change > interval '1.1 s'"
    ):
        pass
    yield "forgetful"
    await other.close()


@defect("I5", "a temporary table is left over")
async def temporary_table(target: DamagedStack) -> AsyncIterator[str]:
    await target.database.execute("CREATE TEMP TABLE onpoint_incoming (id int)")
    yield ".onpoint_incoming"
    await target.database.execute("DROP TABLE onpoint_incoming")
