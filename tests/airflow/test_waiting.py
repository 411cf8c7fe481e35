"""The wait in a real triggerer, under a real scheduler: it finds its own run, whatever happens meanwhile."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from deploy.local.stack import LocalStack
from tests.airflow.deployment import WITHIN_S, Airflow, Run, until
from tests.airflow.mailboxes import Mailboxes
from tests.support import source as faults
from tests.support.pipeline import Pipeline
from tests.support.records import TestData
from tests.support.source import SourceServer

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1200)]

NOTICED_WITHIN_S = 200


LetGo = Callable[[], Awaitable[None]]


async def test_a_triggerer_killed_while_waiting_loses_nothing(
    airflow: Airflow, pipeline: Pipeline, let_go: LetGo
) -> None:
    run = await Run.triggered(airflow, "at_once", {"datasets": ["posts"]})
    await run.waits()
    airflow.kill("triggerer")
    await let_go()
    await completions_of(pipeline, await run.xcom("request_crawl"), 1)
    assert (await run.task("wait_for_completion"))["state"] == "deferred"
    airflow.start("triggerer")
    assert await run.ends() == "success"
    assert (await run.xcom("wait_for_completion"))["run_id"] == await run.xcom("request_crawl")


async def test_two_runs_whose_completions_come_in_the_other_order_each_get_their_own(
    airflow: Airflow, mailboxes: Mailboxes, let_go: LetGo
) -> None:
    first = await Run.triggered(airflow, "at_once", {"datasets": ["users"]})
    await first.waits()
    second = await Run.triggered(airflow, "at_once", {"datasets": ["potss"]})
    assert await second.ends() == "failed"
    assert "'potss' is not known" in await told(mailboxes, second)
    assert (await first.task("wait_for_completion"))["state"] == "deferred"
    await let_go()
    assert await first.ends() == "success"
    assert (await first.xcom("wait_for_completion"))["run_id"] == await first.xcom("request_crawl")


async def test_an_event_that_came_before_the_wait_started_is_found(
    airflow: Airflow, pipeline: Pipeline
) -> None:
    await airflow.patch("/pools/gate", {"pool": "gate", "slots": 0, "include_deferred": False})
    run = await Run.triggered(airflow, "gated", {"datasets": ["users"]})
    await run.reaches("request_crawl", "success")
    await completions_of(pipeline, await run.xcom("request_crawl"), 1)
    assert (await run.task("wait_for_completion"))["state"] in {None, "scheduled"}
    await airflow.patch("/pools/gate", {"pool": "gate", "slots": 16, "include_deferred": False})
    assert await run.ends() == "success"


async def test_a_request_tried_again_is_one_run(airflow: Airflow, pipeline: Pipeline) -> None:
    run = await Run.triggered(airflow, "stumbling", {"datasets": ["users"]})
    assert await run.ends() == "success"
    run_id = await run.xcom("request_crawl")
    assert len(await records_of(pipeline, "crawl.requested", run_id)) >= 2
    await completions_of(pipeline, run_id, 1)
    known = await pipeline.fetch("SELECT run_id FROM onpoint_runs.v_runs WHERE run_id = $1", run_id)
    assert len(known) == 1


async def test_a_failed_run_is_told_once_with_the_names_of_its_failed_checks(
    airflow: Airflow, unhealthy: SourceServer, mailboxes: Mailboxes
) -> None:
    unhealthy.fail("/posts", faults.records([], X_Total_Count="0"))
    run = await Run.triggered(airflow, "at_once", {"datasets": ["posts"]})
    assert await run.ends() == "failed"
    wait = await run.task("wait_for_completion")
    assert wait["state"] == "failed"
    # A scheduler that is behind may send a task off twice; the failure itself uses no try.
    assert wait["try_number"] <= wait["max_tries"]
    assert (await run.task("summarise"))["state"] == "upstream_failed"
    text = await told(mailboxes, run)
    assert "FAILED" in text
    assert "failed checks (error): posts.row_count (is 0, expected min 1)" in text


async def test_a_partial_run_fails_the_task_where_that_is_asked(
    airflow: Airflow, unhealthy: SourceServer, test_data: TestData, mailboxes: Mailboxes
) -> None:
    for story in test_data.records["stories"][:10]:
        unhealthy.fail(f"/v0/item/{story['id']}.json", faults.null())
    run = await Run.triggered(
        airflow,
        "at_once",
        {"datasets": ["stories"], "parameters": {"stories": {"limit": 20}}, "fail_on_partial": True},
    )
    assert await run.ends() == "failed"
    assert " partial" in await told(mailboxes, run)


async def test_what_follows_a_run_starts_by_its_event(airflow: Airflow, pipeline: Pipeline) -> None:
    run_id = "asked-by-another-client"
    await pipeline.run({"run_id": run_id, "datasets": ["users"]}, WITHIN_S)

    async def followed() -> bool:
        found = await airflow.get("/dags/onpoint_after_run/dagRuns?state=success&limit=100")
        runs = [Run(airflow, "onpoint_after_run", one["dag_run_id"]) for one in found["dag_runs"]]
        return any([run_id in await run.xcom("look_at") for run in runs])

    await until(followed, WITHIN_S, "the DAG scheduled by the event")


async def test_the_daily_schedule_runs_once_and_not_for_days_gone_by(airflow: Airflow) -> None:
    await the_daily_run(airflow)
    runs = (await airflow.get("/dags/onpoint_data_pipeline/dagRuns"))["dag_runs"]
    assert [(run["run_type"], run["state"]) for run in runs] == [("scheduled", "success")]
    assert "T02:00:00" in runs[0]["logical_date"]


async def test_a_succeeded_run_is_told_with_its_summary(airflow: Airflow, mailboxes: Mailboxes) -> None:
    run = await the_daily_run(airflow)
    text = await told(mailboxes, run)
    page = f"/dags/onpoint_data_pipeline/runs/{run.run_id[:8]}"
    for part in ("is done", "succeeded", "took ", "users", "stories", "checks: ", page, "s3://"):
        assert part in text


async def test_a_broker_that_is_away_fails_a_request_but_no_wait_and_clearing_asks_again(
    airflow: Airflow, stack: LocalStack, let_go: LetGo
) -> None:
    waiting = await Run.triggered(airflow, "at_once", {"datasets": ["users"]})
    refused = await Run.triggered(airflow, "at_once", {"datasets": ["potss"]})
    await waiting.waits()
    assert await refused.ends() == "failed"
    first = await refused.xcom("request_crawl")

    await asyncio.to_thread(stack.stop, "kafka")
    try:
        await refused.clear("request_crawl")
        await refused.reaches("wait_for_completion", "upstream_failed")
        assert (await refused.task("request_crawl"))["state"] == "failed"
        assert (await waiting.task("wait_for_completion"))["state"] == "deferred"
    finally:
        await asyncio.to_thread(stack.start, "kafka")

    await let_go()
    assert await waiting.ends() == "success"
    await refused.clear("request_crawl")
    await refused.reaches("wait_for_completion", "failed")
    assert first != (again := await refused.xcom("request_crawl"))
    assert again in await refused.xcom("wait_for_completion", "summary")


async def the_daily_run(airflow: Airflow) -> Run:
    """The one that the schedule makes once its DAG is on, ended."""
    path = "/dags/onpoint_data_pipeline/dagRuns"

    async def made() -> bool:
        return bool((await airflow.get(path))["dag_runs"])

    await until(made, WITHIN_S, "the scheduled run")
    run = Run(airflow, "onpoint_data_pipeline", (await airflow.get(path))["dag_runs"][0]["dag_run_id"])
    await run.ends()
    return run


async def told(mailboxes: Mailboxes, run: Run) -> str:
    """The one Slack message about that run; the mail about it has the same facts."""

    async def both() -> bool:
        return all(any(run.run_id in text for text in box) for box in (mailboxes.slack, unfolded(mailboxes)))

    await until(both, NOTICED_WITHIN_S, f"the notices of {run.run_id}")
    found = [text for text in mailboxes.slack if run.run_id in text]
    assert len(found) == 1
    return found[0]


def unfolded(mailboxes: Mailboxes) -> list[str]:
    """Mails with the headers' line breaks taken out."""
    return [mail.replace("\r\n ", " ") for mail in mailboxes.mail]


async def completions_of(pipeline: Pipeline, run_id: str, count: int, within_s: float = WITHIN_S) -> None:
    async def there() -> bool:
        return len(await records_of(pipeline, "run.completed", run_id)) == count

    await until(there, within_s, f"{count} run.completed of {run_id}")


async def records_of(pipeline: Pipeline, topic: str, run_id: str) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=pipeline.servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        partitions = list(consumer.assignment())
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[dict[str, Any]] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                found += [json.loads(message.value) for message in messages if message.key == run_id.encode()]
        return found
    finally:
        await consumer.stop()
