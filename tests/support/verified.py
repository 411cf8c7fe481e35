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

from console.verify import machine
from console.verify.letters import BadEvent
from console.verify.verify import Question
from deploy.local.names import SERVICES
from deploy.local.stack import LocalStack
from tests.support.laboratory import Laboratory
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
}


@asynccontextmanager
async def open_laboratory(folder: Path) -> AsyncIterator[Laboratory]:
    """After five runs, one with a missing page, a replay and a bad event; all services but one are stopped."""
    async with SourceServer(COLLECTIONS) as source:
        source.fail("/photos?_page=2&_limit=100", status(404))
        source.fail("/v0/item/1007.json", status(404))
        extra = {"ONPOINT_CRAWL_ALLOW_HOSTS": source.allow} | {
            f"ONPOINT_SOURCE_{name}_{setting}": value
            for name in ("JSONPLACEHOLDER", "HACKERNEWS")
            for setting, value in (("URL", source.url), ("REQUESTS_PER_SECOND", "0"))
        }
        with LocalStack(folder / "stack", ports="free", extra_env=extra) as stack:
            async with _at_rest(stack, folder) as lab:
                yield lab
            stack.down(wipe=True)


@asynccontextmanager
async def _at_rest(stack: LocalStack, folder: Path) -> AsyncIterator[Laboratory]:
    environment = stack.environment()
    pipeline = Pipeline(environment)
    before = dict(os.environ)
    os.environ.update(environment, ONPOINT_HOME=str(stack.home.path))
    producer = AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all")
    database = await asyncpg.connect(environment["ONPOINT_POSTGRES_DSN"])
    await producer.start()
    try:
        bad = await producer.send_and_wait(
            "batch.processed", BAD, key=b"bad", headers=[("own", b"1")], partition=0
        )
        await _run_everything(pipeline)
        await _wait_for_letters(pipeline)
        others = [service for service in SERVICES if service != "loader"]
        await asyncio.gather(*(asyncio.to_thread(stack.stop, service) for service in others))
        # What is put back afterwards was consistent before: its order does not matter.
        await database.execute("SET session_replication_role = replica")
        question = Question(
            sources=_write_sources(folder / "records"),
            bad_events=[BadEvent(("batch.processed", 0, bad.offset), BAD)],
            logs=stack.home.logs,
            secrets=[b"planted-secret"],
            baseline=await machine.snapshot(database),
        )
        assert question.baseline is not None
        yield Laboratory(pipeline, stack.home, database, producer, question, question.baseline)
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
        await pipeline.request({"run_id": "again", "replay_of": "first", "from_stage": "loader"})
        await completions.of("again", 60)


async def _wait_for_letters(pipeline: Pipeline) -> None:
    async with asyncio.timeout(60):
        for service in ("converter", "loader", "s3sink", "quality"):
            while not await pipeline.dead_letters(service, b"bad"):
                await asyncio.sleep(0.2)
        while await pipeline.fetch(
            "SELECT 1 FROM onpoint_runs.runs WHERE listing_changes > listing_written AND status IS NOT NULL"
        ):
            await asyncio.sleep(0.2)


def _write_sources(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    for name, records in COLLECTIONS.items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in COLLECTIONS}
