"""After any history, once the product is at rest, `onpoint verify` finds nothing.

`make test-histories` makes 200 random histories; `SEED=n HISTORIES=1` makes the one of that seed again.
"""

import os
import sys
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from console.cli import environment
from console.verify.findings import Findings
from tests.support.histories.plan import DAYS, Step, history, smaller
from tests.support.histories.world import World, open_world, write_file

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(3 * 3600)]

HISTORIES = int(os.environ.get("HISTORIES", "2"))
SEED = int(os.environ.get("SEED", "20261128"))
BUDGET_S = 15.0 * HISTORIES
"""No history is begun after that."""
SHRINK_S = 120.0
ALL_EVERY = 20
"""Each time this many histories are made, all runs are checked, not only those of the history."""


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_world(tmp_path_factory.mktemp("histories")) as world:
        yield world


@pytest.mark.parametrize("day", DAYS)
async def test_verify_finds_nothing_after_an_ordinary_day(world: World, day: str) -> None:
    found = await world.make(DAYS[day])
    assert found.holds, told(DAYS[day], world, found)


@pytest.fixture
async def crawled(world: World) -> AsyncIterator[str]:
    """A run of `single`, whose file is what it was afterwards."""
    yield await world.run("single")
    await world.pipeline.fetch("DROP TABLE IF EXISTS onpoint_elsewhere")
    write_file(world.folder, "single")


@pytest.mark.usefixtures("crawled")
async def test_verify_finds_nothing_when_a_dataset_has_another_name(world: World) -> None:
    write_file(world.folder, "single", name="once")
    found = await world.at_rest()
    assert found.holds, told([], world, found)


@pytest.mark.usefixtures("crawled")
async def test_verify_finds_nothing_when_a_file_is_gone(world: World) -> None:
    (world.folder / "single.yaml").unlink()
    found = await world.at_rest()
    assert found.holds, told([], world, found)


async def test_verify_finds_nothing_when_a_file_names_another_table(world: World, crawled: str) -> None:
    """The run's own file tells where its rows are."""
    freeze(world, crawled)
    write_file(world.folder, "single", table="onpoint_elsewhere")
    await migrate(world)
    found = await world.at_rest([crawled])
    assert found.holds, told([], world, found)
    assert found.checked["I1"] > 0


@pytest.mark.usefixtures("crawled")
async def test_verify_finds_nothing_when_a_column_has_another_type(world: World) -> None:
    alter = "ALTER TABLE onpoint_single "
    await world.pipeline.fetch(f"{alter} ADD COLUMN old_name text")
    await world.pipeline.fetch("UPDATE onpoint_single SET old_name = name")
    await world.pipeline.fetch(f"{alter} ALTER name TYPE bigint USING length(name)")
    write_file(world.folder, "single", named="int64")
    try:
        found = await world.at_rest()
        assert found.holds, told([], world, found)
        assert any(note.endswith("not compared: onpoint_single.name") for note in found.notes)
    finally:
        await world.pipeline.fetch(f"{alter} ALTER name TYPE text USING old_name")
        await world.pipeline.fetch(f"{alter} DROP COLUMN old_name")


def freeze(world: World, run_id: str) -> None:
    """The run has the file as it is now, as the crawler keeps it."""
    dataset = environment.catalog()["single"]
    world.pipeline.s3.put_object(
        Bucket=world.pipeline.staging_bucket,
        Key=f"runs/{run_id}/single/dataset.json",
        Body=dataset.model_dump_json(by_alias=True, exclude_unset=True).encode(),
    )


async def migrate(world: World) -> None:
    result = await world.operator.run("migrate")
    assert result.code == 0, result.err


async def test_verify_finds_nothing_after_every_history(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    until = time.monotonic() + BUDGET_S
    made = 0
    for seed in range(SEED, SEED + HISTORIES):
        if time.monotonic() > until:
            break
        began = time.monotonic()
        steps: Sequence[Step] = history(seed)
        found = await world.make(steps)
        if not found.holds:
            steps, found = await shrunk(world, steps, found)
            pytest.fail(f"SEED={seed} HISTORIES=1\n{told(steps, world, found)}", pytrace=False)
        made += 1
        with capsys.disabled():
            sys.stdout.write(f"\nSEED={seed}: {len(steps)} steps, {time.monotonic() - began:.1f} s")
        if made % ALL_EVERY == 0:
            await require_no_findings(world, f"SEED={SEED} HISTORIES={made}")
    await require_no_findings(world, f"SEED={SEED} HISTORIES={made}")
    result = await world.operator.run("verify")
    assert result.code == 0, result.out


async def require_no_findings(world: World, how: str) -> None:
    found = await world.at_rest()
    if not found.holds:
        pytest.fail(f"{how}, all runs checked\n{told([], world, found)}", pytrace=False)


async def shrunk(world: World, steps: Sequence[Step], found: Findings) -> tuple[Sequence[Step], Findings]:
    """The smallest history that was found to be as wrong, within a time."""
    until = time.monotonic() + SHRINK_S
    tried = True
    while tried and time.monotonic() < until:
        tried = False
        for some in smaller(steps):
            if time.monotonic() > until:
                break
            again = await world.make(some)
            if not again.holds:
                steps, found, tried = some, again, True
                break
    return steps, found


def told(steps: Sequence[Step], world: World, found: Findings) -> str:
    lines = [str(step) for step in steps]
    lines += [f"runs: {', '.join(world.runs)}"]
    lines += [f"{v.invariant} {v.subject}: {v.message}" for v in found.violations[:30]]
    return "\n".join(lines)
