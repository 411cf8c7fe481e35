"""A right that is taken from a service at work: it says which one, loses nothing, and goes on when it is given again."""

import uuid
from collections.abc import AsyncIterator

import pytest

from deploy.local.ports import free_port
from deploy.local.stack import LocalStack
from shared.bus.access_admin import Grant
from shared.events.topology import SERVICES
from tests.access.installation import Installation
from tests.access.readiness import problem_of, ready
from tests.support.crawler import environment_for
from tests.support.service_processes import ServiceProcesses
from tests.support.source import SourceServer

pytestmark = [pytest.mark.access, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
async def ports(
    installation: Installation,
    components: LocalStack,
    source: SourceServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[dict[str, int]]:
    """The six services at work; where each answers over HTTP."""
    crawling = {"ONPOINT_CRAWL_ALLOW_HOSTS": source.allow, **environment_for(source.url)}
    found: dict[str, int] = {}
    migrated = await installation.onpoint("operator", "migrate")
    assert migrated.code == 0, migrated.err
    with ServiceProcesses(components, tmp_path_factory.mktemp("services")) as processes:
        started = []
        for service in SERVICES:
            found[service] = free_port(tuple(found.values()))
            started.append(
                processes.start(
                    service,
                    **{
                        **crawling,
                        **installation.environment(service),
                        "ONPOINT_HTTP_PORT": str(found[service]),
                    },
                )
            )
        for process in started:
            await process.ready(within_s=120)
        yield found


RIGHTS = [
    (
        "processor",
        Grant("User:processor", "topic", "batch.crawled", "Read"),
        "Read on the topics batch.crawled",
    ),
    (
        "processor",
        Grant("User:processor", "topic", "batch.processed", "Write"),
        "Write on the topics batch.processed",
    ),
    ("loader", Grant("User:loader", "topic", "batch.loaded", "Write"), "Write on the topics batch.loaded"),
    (
        "loader",
        Grant("User:loader", "group", "onpoint-loader", "Read"),
        "Read on the consumer group onpoint-loader",
    ),
    (
        "quality",
        Grant("User:quality", "topic", "run.completed", "Write"),
        "Write on the topics run.completed",
    ),
    (
        "quality",
        Grant("User:quality", "transactional_id", "onpoint-quality-run.drained-", "Write", "prefixed"),
        "Write on the transactional id onpoint-quality-run.drained-",
    ),
]


@pytest.mark.parametrize(("service", "right", "named"), RIGHTS, ids=[str(each[1]) for each in RIGHTS])
async def test_a_service_names_the_right_that_it_misses_and_goes_on_when_it_is_given_again(
    installation: Installation, ports: dict[str, int], service: str, right: Grant, named: str
) -> None:
    run = f"access-{uuid.uuid4().hex[:8]}"
    await installation.broker.revoke([right])
    try:
        asked = await installation.onpoint("console", "run", "users", "--run-id", run)
        assert asked.code == 0, asked.err
        said = await problem_of(ports[service], named, within_s=60)
        assert f"Kafka denies the user '{service}' {named}" in said
    finally:
        await installation.broker.allow([right])
    waited = await installation.onpoint(
        "console", "run", "users", "--run-id", run, "--wait", "--timeout", "120", "--json"
    )

    assert waited.code == 0, waited.err
    assert waited.json()["datasets"]["users"]["rows_stored"] == 10
    await ready(ports[service], within_s=60)


async def test_nothing_is_lost_or_done_twice(installation: Installation, ports: dict[str, int]) -> None:
    assert ports
    checked = await installation.onpoint("operator", "verify")

    assert checked.code == 0, checked.out + checked.err
