"""The checker on real runs: it raises no false alarm, and finds and names every single thing that is wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from console.main import app
from console.verify.findings import INVARIANTS
from tests.support.damaged_stack import DamagedStack, Defect, named
from tests.support.defects.catalog import ALL
from tests.support.operator import Operator
from tests.support.verified import open_damaged_stack

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DamagedStack]:
    async with open_damaged_stack(tmp_path_factory.mktemp("verified")) as target:
        yield target


async def test_what_is_right_raises_no_alarm(target: DamagedStack) -> None:
    found = await target.ask()
    assert found.violations == []
    assert set(found.checked) == set(INVARIANTS)
    assert all(found.checked[name] for name in INVARIANTS)


@pytest.mark.parametrize("defect", ALL, ids=str)
async def test_a_single_defect_is_found_and_named(target: DamagedStack, defect: Defect) -> None:
    subject, found = await target.seeded(defect)
    assert named(found.violations, defect.invariant, subject), (subject, found.violations)


async def test_every_defect_was_mended_and_nothing_is_wrong_again(target: DamagedStack) -> None:
    assert (await target.ask()).violations == []


async def test_an_aborted_completion_is_none(target: DamagedStack) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=target.pipeline.servers, transactional_id="verified")
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait("run.completed", b'{"run_id": "first"}', key=b"first")
    await producer.abort_transaction()
    await producer.stop()
    assert (await target.ask("I4", "I6")).violations == []


async def test_runs_can_be_looked_at_alone(target: DamagedStack) -> None:
    async with target.altered("public.onpoint_photos", "DELETE FROM public.onpoint_photos WHERE id = 1"):
        assert (await target.ask(runs=["first", "second"], bad_events=None)).violations == []
        assert not (await target.ask("I1", runs=["gap"])).holds


async def test_without_a_source_the_lake_and_postgresql_are_compared(
    target: DamagedStack,
) -> None:
    assert (await target.ask("I1", sources={})).violations == []
    async with target.altered("public.onpoint_posts", "DELETE FROM public.onpoint_posts WHERE id = 17"):
        assert named((await target.ask("I1", sources={})).violations, "I1", "posts id=17")


async def test_the_command_names_what_is_wrong_and_fails(target: DamagedStack) -> None:
    operator = Operator({**target.pipeline.environment, "ONPOINT_HOME": str(target.home.path)})
    folder = str(target.options.sources["posts"].parent)
    good = await operator.run("verify", "--source-folder", folder, "--logs", str(target.home.logs))
    assert (good.code, good.err) == (0, "")
    assert "all of it holds" in good.out
    async with target.altered("public.onpoint_posts", "DELETE FROM public.onpoint_posts WHERE id = 17"):
        bad = await operator.run("verify", "--source-folder", folder, "--only", "I1", "--json")
        shown = await operator.run("verify", "--source-folder", folder, "--only", "I1")
    assert bad.code == shown.code == 1
    assert [v["subject"] for v in bad.json()["violations"]] == ["posts id=17 (record 17 of again)"]
    assert "posts id=17 (record 17 of again): it is not in PostgreSQL" in shown.out
    snapshot = await operator.run("verify", "--snapshot")
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
async def test_wrong_use_is_told_in_a_sentence(target: DamagedStack, words: tuple[str, ...]) -> None:
    assert target.options.logs
    result = await asyncio.to_thread(CliRunner().invoke, app, ["verify", *words])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("onpoint: ")


async def test_a_second_completion_and_one_of_no_run_are_named(target: DamagedStack) -> None:
    """Last, as nothing can be taken from a compacted topic."""
    value = await target.value("SELECT value::text FROM onpoint_runs.verdicts WHERE run_id = 'first'")
    second = await target.send("run.completed", value.encode(), key=b"first")
    other = await target.send("run.completed", b'{"run_id": "unknown"}', key=b"unknown")
    found = (await target.ask("I4")).violations
    assert [v.subject for v in found] == ["run.completed of first", f"record run.completed-0 offset {other}"]
    assert f"offset {second}" in found[0].message
