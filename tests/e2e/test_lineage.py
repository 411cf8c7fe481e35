"""A run of the whole pipeline as an OpenLineage receiver sees it, from a process that came when all was over."""

import asyncio
import os
import signal
import sys
from collections import defaultdict
from typing import Any

import pytest

from services.quality.lineage.naming import batch_uuid, run_uuid
from shared.events import ids
from shared.events.topology import STAGES
from tests.e2e.test_whole_way import new_run
from tests.integration.quality.test_lineage import ReceivingServer
from tests.support.pipeline import Pipeline
from tests.support.records import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(240)]

WITHIN_S = 90.0


async def test_a_run_is_told_from_source_to_table_with_its_checks(pipeline: Pipeline) -> None:
    run_id = new_run()
    done = await pipeline.run({"run_id": run_id, "datasets": ["posts"], "formats": ["csv"]})
    server = ReceivingServer()
    async with server.running():
        environment = {**os.environ, **pipeline.environment, "ONPOINT_LINEAGE_URL": server.url}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.quality.lineage", cwd=ROOT, env=environment
        )
        batch = ids.batch_id(run_id, "posts", 0)
        wanted = {run_uuid(run_id), *(batch_uuid(batch, stage) for stage in STAGES)}
        async with asyncio.timeout(WITHIN_S):
            while not wanted <= set(server.runs()):
                await asyncio.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    ended: dict[str, Any] = {}
    for event in server.events:
        if event["run"]["runId"] in wanted:
            kinds[event["job"]["name"]].append(event["eventType"])
            if event["eventType"] == "COMPLETE":
                ended[event["job"]["name"]] = event
    jobs = {"run", *(f"posts.{stage}" for stage in STAGES)}
    assert {job: sorted(found) for job, found in kinds.items()} == {
        job: ["COMPLETE", "START"] for job in jobs
    }
    rows = done["datasets"]["posts"]["rows_loaded"]
    [table] = ended["posts.loader"]["outputs"]
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == rows
    assert [field["name"] for field in table["facets"]["schema"]["fields"]] == [
        "id",
        "user_id",
        "title",
        "body",
    ]
    [checked] = ended["run"]["inputs"]
    assert checked["name"] == table["name"]
    assert len(checked["inputFacets"]["dataQualityAssertions"]["assertions"]) == len(done["checks"])
