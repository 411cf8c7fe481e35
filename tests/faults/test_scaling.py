"""Second processes come and go under load: each leaves in order and in time, and nothing is lost or done twice."""

import asyncio
import random
import time
import uuid
from pathlib import Path

import pytest

from deploy.local.ports import free_port
from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from tests.faults.test_kills import DATASETS, PARAMETERS, assert_content
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.service_processes import ServiceProcesses

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

ROUNDS = 4
"""In each, every service is scaled up and down once: 24 cycles."""

DRAIN_S = 25.0
STAYS_S = (0.5, 4.0)
RUN_S = 240.0


async def cycle(processes: ServiceProcesses, service: str, stays_s: float) -> float:
    """Seconds that the second process took to leave."""
    second = await processes.start(service, ONPOINT_HTTP_PORT=str(free_port())).ready(within_s=90)
    await asyncio.sleep(stays_s)
    asked_s = time.monotonic()
    assert await second.stop(within_s=2 * DRAIN_S) == 0
    return time.monotonic() - asked_s


async def test_scaling_up_and_down_under_load_loses_nothing(
    breakable: LocalStack, pipeline: Pipeline, test_data: TestData, tmp_path: Path
) -> None:
    dice = random.Random(7)  # noqa: S311 - repeatable is what it has to be
    run_ids: list[str] = []
    drains_s: list[float] = []
    async with pipeline.completions() as completions:
        with ServiceProcesses(breakable, tmp_path) as processes:
            for _ in range(ROUNDS):
                run_ids.append(f"scale-{uuid.uuid4().hex[:8]}")
                await pipeline.request(
                    {"run_id": run_ids[-1], "datasets": list(DATASETS), "parameters": PARAMETERS}
                )
                drains_s += await asyncio.gather(
                    *(cycle(processes, service, dice.uniform(*STAYS_S)) for service in SERVICES)
                )
        ended = await completions.all(set(run_ids), RUN_S)
        again = [value["run_id"] for value in await completions.for_a_while(3)]
    assert {value["status"] for value in ended.values()} == {"succeeded"}
    assert sorted(run_id for run_id in again if run_id in ended) == sorted(run_ids)
    assert max(drains_s) <= DRAIN_S, drains_s
    await assert_content(pipeline, run_ids[-1], test_data)
    for service in SERVICES:
        for run_id in run_ids:
            assert not await pipeline.dead_letters_of_run(service, run_id)
