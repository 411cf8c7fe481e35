"""What the checker is tried on: a stack of its own, as it is going to be damaged, after runs of every kind."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer

from console.cli import environment
from console.verify import process_usage
from console.verify.dead_letters import BadEvent
from console.verify.verify import VerifyOptions
from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from tests.support.damaged_stack import DamagedStack
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer, status

BAD = b"\xffbad"


def posts() -> list[Any]:
    """250 records on three pages: two with one key, four that must be refused."""
    found: list[Any] = [
        {"id": n, "userId": n % 7, "title": f"title {n} é\u2028", "body": None if n == 12 else f"body {n}"}
        for n in range(250)
    ]
    found[4] = {**found[5], "title": "the first of two"}
    found[40] = {"userId": 1, "title": "no key"}
    found[41] = {**found[41], "userId": "seven"}
    found[42] = {**found[42], "title": "NUL \0"}
    found[130] = {**found[130], "id": 2**63}
    return found


COLLECTIONS: dict[str, list[Any]] = {
    "posts": posts(),
    "stories": [{"id": 1000 + n, "type": "story", "title": f"s{n}", "score": n} for n in range(1050)],
    "photos": [
        {"id": n + 1, "albumId": 1, "title": f"p{n}", "url": "u", "thumbnailUrl": "t"} for n in range(250)
    ],
    "albums": [{"id": n, "userId": 1, "title": f"a{n}"} for n in range(20)],
    "late": [{"id": n, "name": f"n{n}", "extra": n * 7} for n in range(8)],
}

LATE = """\
name: late
source:
  name: late
  kind: api
  base_url: http://127.0.0.1:1
  path: /late
  pagination: {kind: page, page_param: _page, size_param: _limit, size: 100, total_header: X-Total-Count}
table: onpoint_late
key: [id]
columns:
  - {name: id, type: int64}
  - {name: name, type: string}
formats: [csv]
exports: {max_rows: 3}
"""
GAINED = ("  - {name: name, type: string}\n", "  - {name: extra, type: int64}\n")
"""A column that the file of `late` gains between its two runs."""


@asynccontextmanager
async def open_damaged_stack(folder: Path) -> AsyncIterator[DamagedStack]:
    """After runs of every kind, a replay and a bad event; all services but one are stopped.

    There are a missing page, a refused request, a run with a limit, one that stored nothing, a dead letter that was
    discarded, and a file that gained a column.
    """
    datasets = folder / "datasets"
    datasets.mkdir()
    (datasets / "late.yaml").write_text(LATE, encoding="utf-8")
    async with SourceServer(COLLECTIONS) as source:
        source.fail("/photos?_page=2&_limit=100", status(404))
        source.fail("/v0/item/1007.json", status(404))
        extra = {"ONPOINT_CRAWL_ALLOW_HOSTS": source.allow, "ONPOINT_DATASETS_DIR": str(datasets)} | {
            f"ONPOINT_SOURCE_{name}_{setting}": value
            for name in ("JSONPLACEHOLDER", "HACKERNEWS", "LATE")
            for setting, value in (("URL", source.url), ("REQUESTS_PER_SECOND", "0"))
        }
        with LocalStack(folder / "stack", ports="free", extra_env=extra) as stack:
            async with _at_rest(stack, folder, source) as target:
                yield target
            stack.down(wipe=True)


@asynccontextmanager
async def _at_rest(stack: LocalStack, folder: Path, source: SourceServer) -> AsyncIterator[DamagedStack]:
    datasets = folder / "datasets"
    variables = {**stack.environment(), "ONPOINT_DATASETS_DIR": str(datasets)}
    pipeline = Pipeline(variables)
    before = dict(os.environ)
    os.environ.update(variables, ONPOINT_HOME=str(stack.home.path))
    producer = AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all")
    database = await asyncpg.connect(variables["ONPOINT_POSTGRES_DSN"])
    await producer.start()
    try:
        bad = await producer.send_and_wait(
            "batch.processed", BAD, key=b"bad", headers=[("own", b"1")], partition=0
        )
        await _run_everything(pipeline)
        await _lose_a_batch(pipeline)
        source.fail("/posts", status(404))
        await pipeline.run({"run_id": "nothing", "datasets": ["posts"]})
        await _gain_a_column(pipeline, datasets)
        await _wait_for_dead_letters(pipeline)
        others = [service for service in SERVICES if service != "loader"]
        await asyncio.gather(*(asyncio.to_thread(stack.stop, service) for service in others))
        # What is put back afterwards was consistent before: its order does not matter.
        await database.execute("SET session_replication_role = replica")
        options = VerifyOptions(
            sources=_write_sources(folder / "records"),
            bad_events=[BadEvent(("batch.processed", 0, bad.offset), BAD)],
            logs=stack.home.logs,
            secrets=[b"planted-secret"],
            baseline=await process_usage.snapshot(database, environment.service_processes()),
        )
        assert options.baseline is not None
        yield DamagedStack(pipeline, stack.home, database, producer, options, options.baseline)
    finally:
        await database.close()
        await producer.stop()
        os.environ.clear()
        os.environ.update(before)


async def _run_everything(pipeline: Pipeline) -> None:
    async with pipeline.completions() as completions:
        await pipeline.request({"run_id": "first", "datasets": ["posts", "stories"]})
        await pipeline.request({"run_id": "gap", "datasets": ["photos"]})
        await pipeline.request({"run_id": "refused", "datasets": ["nothing"]})
        await pipeline.request(
            {"run_id": "limited", "datasets": ["posts"], "parameters": {"posts": {"limit": 45}}}
        )
        await pipeline.request({"run_id": "second", "datasets": ["posts", "stories"]})
        done = await completions.all({"first", "gap", "refused", "limited", "second"}, 120)
        assert (done["first"]["status"], done["gap"]["status"]) == ("partial", "partial")
        await pipeline.request({"run_id": "again", "replay_of": "first", "from_stage": "processor"})
        await completions.of("again", 60)
        await pipeline.request({"run_id": "gap-loader", "replay_of": "gap", "from_stage": "loader"})
        await completions.of("gap-loader", 60)
        await pipeline.request({"run_id": "gap-again", "replay_of": "gap-loader", "from_stage": "processor"})
        await completions.of("gap-again", 60)


async def _lose_a_batch(pipeline: Pipeline) -> None:
    """PostgreSQL refuses every row of a run, and its dead letters are discarded."""
    await pipeline.run({"run_id": "good", "datasets": ["albums"]})
    await pipeline.fetch(
        "ALTER TABLE onpoint_albums ADD CONSTRAINT test_refuses_all CHECK (_run_id <> 'lost') NOT VALID"
    )
    await pipeline.run({"run_id": "lost", "datasets": ["albums"]})
    await pipeline.fetch("ALTER TABLE onpoint_albums DROP CONSTRAINT test_refuses_all")
    result = await Operator(pipeline.environment).run(
        "dlq", "discard", "--run", "lost", "--yes", "--reason", "test"
    )
    assert result.code == 0, result.err


async def _gain_a_column(pipeline: Pipeline, datasets: Path) -> None:
    await pipeline.run({"run_id": "early", "datasets": ["late"]})
    (datasets / "late.yaml").write_text(LATE.replace(GAINED[0], "".join(GAINED)), encoding="utf-8")
    result = await Operator(pipeline.environment).run("migrate")
    assert result.code == 0, result.err
    await pipeline.run({"run_id": "later", "datasets": ["late"], "parameters": {"late": {"limit": 3}}})
    async with asyncio.timeout(60):
        while not all("combined" in pipeline.listing(run)["datasets"]["late"] for run in ("early", "later")):
            await asyncio.sleep(0.2)


async def _wait_for_dead_letters(pipeline: Pipeline) -> None:
    async with asyncio.timeout(60):
        for service in ("converter", "loader", "s3sink", "quality"):
            while not await pipeline.dead_letters(service, b"bad"):
                await asyncio.sleep(0.2)
        while await pipeline.fetch(
            "SELECT 1 FROM onpoint_runs.runs WHERE listing_changes > listing_written AND status IS NOT NULL "
            "UNION ALL SELECT 1 FROM onpoint_lake.dataset_listings WHERE changes > written"
        ):
            await asyncio.sleep(0.2)


def _write_sources(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    for name, records in COLLECTIONS.items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in COLLECTIONS}
