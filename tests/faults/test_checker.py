"""The checker on real runs: it raises no false alarm, and finds and names every single thing that is wrong."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from console.main import app
from console.verify import machine
from console.verify.findings import INVARIANTS
from console.verify.letters import BadEvent
from console.verify.verify import Question
from deploy.local.names import SERVICES
from deploy.local.stack import LocalStack
from tests.support.defects.catalog import ALL
from tests.support.laboratory import Defect, Laboratory, named
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer, status

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

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


@pytest.fixture(scope="module")
async def own_source() -> AsyncIterator[SourceServer]:
    async with SourceServer(COLLECTIONS) as server:
        server.fail("/photos?_page=2&_limit=100", status(404))
        server.fail("/v0/item/1007.json", status(404))
        yield server


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory, own_source: SourceServer) -> Iterator[LocalStack]:
    """Of its own, as it is going to be damaged."""
    extra = {"ONPOINT_CRAWL_ALLOW_HOSTS": own_source.allow} | {
        f"ONPOINT_SOURCE_{name}_{setting}": value
        for name in ("JSONPLACEHOLDER", "HACKERNEWS")
        for setting, value in (("URL", own_source.url), ("REQUESTS_PER_SECOND", "0"))
    }
    with LocalStack(tmp_path_factory.mktemp("verified"), ports="free", extra_env=extra) as stack:
        yield stack
        stack.down(wipe=True)


@pytest.fixture(scope="module")
async def lab(own_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Laboratory]:
    """After two runs, one with a missing page, a replay and a bad event; all services but one are stopped."""
    environment = own_stack.environment()
    pipeline = Pipeline(environment)
    before = dict(os.environ)
    os.environ.update(environment, ONPOINT_HOME=str(own_stack.home.path))
    producer = AIOKafkaProducer(bootstrap_servers=pipeline.servers, acks="all")
    database = await asyncpg.connect(environment["ONPOINT_POSTGRES_DSN"])
    await producer.start()
    try:
        bad = await producer.send_and_wait(
            "batch.processed", BAD, key=b"bad", headers=[("own", b"1")], partition=0
        )
        await _run_everything(pipeline)
        await _wait_for_letters(pipeline)
        for service in SERVICES:
            if service != "loader":
                await asyncio.to_thread(own_stack.stop, service)
        # What is put back afterwards was consistent before: its order does not matter.
        await database.execute("SET session_replication_role = replica")
        folder = tmp_path_factory.mktemp("records")
        question = Question(
            sources=_write_sources(folder),
            bad_events=[BadEvent(("batch.processed", 0, bad.offset), BAD)],
            logs=own_stack.home.logs,
            secrets=[b"planted-secret"],
            baseline=await machine.snapshot(database),
        )
        assert question.baseline is not None
        yield Laboratory(pipeline, database, producer, question, question.baseline)
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
    for name, records in COLLECTIONS.items():
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.jsonl" for name in COLLECTIONS}


async def test_what_is_right_raises_no_alarm(lab: Laboratory) -> None:
    found = await lab.ask()
    assert found.violations == []
    assert set(found.checked) == set(INVARIANTS)
    assert all(found.checked[name] for name in INVARIANTS)


@pytest.mark.parametrize("defect", ALL, ids=str)
async def test_a_single_defect_is_found_and_named(lab: Laboratory, defect: Defect) -> None:
    async with aclosing(defect.seed(lab)) as seeded:  # type: ignore[type-var]  # an async generator
        subject = await anext(seeded)
        found = await lab.ask(defect.invariant, **defect.asks)
        async for _ in seeded:
            pass
    assert named(found.violations, defect.invariant, subject), (subject, found.violations)


async def test_every_defect_was_mended_and_nothing_is_wrong_again(lab: Laboratory) -> None:
    assert (await lab.ask()).violations == []


async def test_an_aborted_completion_is_none(lab: Laboratory) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=lab.pipeline.servers, transactional_id="verified")
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait("run.completed", b'{"run_id": "first"}', key=b"first")
    await producer.abort_transaction()
    await producer.stop()
    assert (await lab.ask("I4", "I6")).violations == []


async def test_runs_can_be_looked_at_alone(lab: Laboratory) -> None:
    async with lab.altered("public.onpoint_photos", "DELETE FROM public.onpoint_photos WHERE id = 1"):
        assert (await lab.ask(runs=["first", "second"], bad_events=None)).violations == []
        assert not (await lab.ask("I1", runs=["gap"])).holds


async def test_without_a_source_the_lake_and_postgresql_are_held_against_each_other(lab: Laboratory) -> None:
    assert (await lab.ask("I1", sources={})).violations == []
    async with lab.altered("public.onpoint_posts", "DELETE FROM public.onpoint_posts WHERE id = 17"):
        assert named((await lab.ask("I1", sources={})).violations, "I1", "posts id=17")


async def test_the_command_names_what_is_wrong_and_fails(lab: Laboratory, own_stack: LocalStack) -> None:
    operator = Operator({**own_stack.environment(), "ONPOINT_HOME": str(own_stack.home.path)})
    folder = str(lab.question.sources["posts"].parent)
    good = await operator.says("verify", "--source-folder", folder, "--logs", str(own_stack.home.logs))
    assert (good.code, good.err) == (0, "")
    assert "all of it holds" in good.out
    async with lab.altered("public.onpoint_posts", "DELETE FROM public.onpoint_posts WHERE id = 17"):
        bad = await operator.says("verify", "--source-folder", folder, "--only", "I1", "--json")
        shown = await operator.says("verify", "--source-folder", folder, "--only", "I1")
    assert bad.code == shown.code == 1
    assert [v["subject"] for v in bad.json()["violations"]] == ["posts id=17 (record 17 of again)"]
    assert "posts id=17 (record 17 of again): it is not in PostgreSQL" in shown.out
    snapshot = await operator.says("verify", "--snapshot")
    assert set(snapshot.json()) == {"loader"}


@pytest.mark.parametrize(
    "words",
    [
        ("--source", "posts"),
        ("--source", "nothing=x.jsonl"),
        ("--source", "posts=not-there.jsonl"),
        ("--only", "I8"),
        ("--bad-events", "not-there"),
        ("--secrets-file", "not-there"),
        ("--baseline", "not-there"),
        ("--logs", "not-there"),
    ],
)
async def test_wrong_use_is_told_in_a_sentence(lab: Laboratory, words: tuple[str, ...]) -> None:
    assert lab.question.logs
    said = await asyncio.to_thread(CliRunner().invoke, app, ["verify", *words])
    assert (said.exit_code, said.stdout) == (2, "")
    assert said.stderr.startswith("onpoint: ")


async def test_a_second_completion_and_one_of_no_run_are_named(lab: Laboratory) -> None:
    """Last, as nothing can be taken from a compacted topic."""
    value = await lab.value("SELECT value::text FROM onpoint_runs.verdicts WHERE run_id = 'first'")
    second = await lab.send("run.completed", value.encode(), key=b"first")
    other = await lab.send("run.completed", b'{"run_id": "nobody"}', key=b"nobody")
    found = (await lab.ask("I4")).violations
    assert [v.subject for v in found] == ["run.completed of first", f"record run.completed-0 offset {other}"]
    assert f"offset {second}" in found[0].message
