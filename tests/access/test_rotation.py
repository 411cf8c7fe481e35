"""Passwords that change while the services work, a broker and a database that are lost, each process with its own rights.

Every process has its own user of Kafka and its own role of PostgreSQL; both passwords are files. No process is restarted.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.ports import free_port
from deploy.local.stack import LocalStack
from shared.events.topology import SERVICES
from shared.postgres.access import ROLE_RIGHTS
from tests.access.installation import Installation
from tests.access.readiness import problem_of, ready
from tests.support.crawler import environment_for
from tests.support.operator import CommandResult
from tests.support.secure_kafka import password_of
from tests.support.service_processes import ServiceProcess, ServiceProcesses
from tests.support.source import SourceServer

pytestmark = [pytest.mark.access, pytest.mark.timeout(400)]

log = logging.getLogger(__name__)


@dataclass
class Running:
    """The six services and what an operator does."""

    installation: Installation
    owner: asyncpg.Connection
    folder: Path
    owners_dsn: str = field(repr=False)
    ports: dict[str, int] = field(default_factory=dict)
    processes: list[ServiceProcess] = field(default_factory=list)

    def kafka_file(self, user: str) -> Path:
        return self.folder / f"{user}.kafka"

    def dsn_file(self, user: str) -> Path:
        return self.folder / f"{user}.dsn"

    def write_dsn(self, user: str, password: str) -> None:
        address = urlsplit(self.owners_dsn)
        place = f"{address.hostname}:{address.port}{address.path}"
        self.dsn_file(user).write_text(f"postgresql://{user}:{password}@{place}\n")

    def settings(self, user: str) -> dict[str, str]:
        found = self.installation.environment(user)
        del found["ONPOINT_KAFKA_SASL_PASSWORD"]
        found |= {"ONPOINT_KAFKA_SASL_PASSWORD_FILE": str(self.kafka_file(user))}
        if user in ROLE_RIGHTS:
            found |= {"ONPOINT_POSTGRES_DSN": "", "ONPOINT_POSTGRES_DSN_FILE": str(self.dsn_file(user))}
        return found

    async def onpoint(self, user: str, *words: str) -> CommandResult:
        """The command line as that user of Kafka and that role."""
        address = self.dsn_file(user).read_text().strip()
        return await self.installation.onpoint(user, *words, more={"ONPOINT_POSTGRES_DSN": address})

    async def run(self) -> float:
        """Seconds of a whole run."""
        started = time.monotonic()
        found = await self.onpoint(
            *("console", "run", "users", "albums", "--run-id", f"access-{uuid.uuid4().hex[:8]}"),
            *("--wait", "--timeout", "150", "--json"),
        )
        assert found.code == 0, found.err
        rows = {name: each["rows_loaded"] for name, each in found.json()["datasets"].items()}
        assert rows == {"users": 10, "albums": 100}
        return time.monotonic() - started

    async def verify(self) -> None:
        found = await self.onpoint("operator", "verify")
        assert found.code == 0, found.out + found.err

    def assert_nothing_was_restarted(self) -> None:
        assert all(process.is_running() for process in self.processes)


@pytest.fixture(scope="module")
async def running(
    installation: Installation,
    components: LocalStack,
    source: SourceServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Running]:
    migrated = await installation.onpoint("operator", "migrate")
    assert migrated.code == 0, migrated.err
    dsn = components.environment()["ONPOINT_POSTGRES_DSN"]
    owner = await asyncpg.connect(dsn)
    found = Running(installation, owner, tmp_path_factory.mktemp("secrets"), dsn)
    grants = await installation.onpoint("operator", "access", "grants")
    for user in ROLE_RIGHTS:
        await owner.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password_of(user)}'")
        found.write_dsn(user, password_of(user))
    await owner.execute(grants.out)
    crawling = {"ONPOINT_CRAWL_ALLOW_HOSTS": source.allow, **environment_for(source.url)}
    with ServiceProcesses(components, tmp_path_factory.mktemp("services")) as processes:
        for service in SERVICES:
            found.kafka_file(service).write_text(f"{password_of(service)}\n")
            found.ports[service] = free_port(tuple(found.ports.values()))
            own = {**crawling, **found.settings(service), "ONPOINT_HTTP_PORT": str(found.ports[service])}
            found.processes.append(processes.start(service, **own))
        for process in found.processes:
            await process.ready(within_s=120)
        yield found
    for user in ROLE_RIGHTS:
        await owner.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")
    await owner.close()


async def test_a_run_goes_through_services_that_have_their_own_users_and_roles(running: Running) -> None:
    await running.run()
    await running.verify()

    denied = [
        line for each in running.processes for line in each.log().splitlines() if "permission denied" in line
    ]
    assert denied == []


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("console", ("runs",)),
        ("console", ("datasets",)),
        ("console", ("dlq", "list")),
        ("operator", ("health",)),
        ("operator", ("news", "list")),
        ("operator", ("lake", "status")),
        ("operator", ("lake", "compact", "--dry-run")),
        ("operator", ("sweep", "--dry-run")),
        ("operator", ("topics", "restore", "--dry-run")),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
async def test_a_command_has_the_rights_that_it_needs(
    running: Running, user: str, words: tuple[str, ...]
) -> None:
    found = await running.onpoint(user, *words)

    assert "denie" not in found.out + found.err
    assert found.code in {0, 1}, found.err


async def test_kafkas_passwords_change_and_a_broker_is_lost_while_services_go_on(running: Running) -> None:
    broker = running.installation.broker
    for service in SERVICES:
        running.kafka_file(service).write_text(f"new-{password_of(service)}\n")
        await asyncio.to_thread(broker.set_password, service, f"new-{password_of(service)}")
    await running.run()  # by the sessions that are open

    broker.kill()
    lost = time.monotonic()
    await problem_of(running.ports["loader"], "broker unreachable", within_s=90)
    await asyncio.to_thread(broker.start)
    for port in running.ports.values():
        await ready(port, within_s=120)
    log.info("broker lost: %.0f s until every service is ready", time.monotonic() - lost)
    log.info("a run after it: %.0f s", await running.run())

    running.assert_nothing_was_restarted()
    await running.verify()


async def test_postgresqls_password_changes_while_services_go_on(running: Running) -> None:
    for user in ("loader", "s3sink", "quality"):
        await running.owner.execute(f"ALTER ROLE {user} PASSWORD 'changed'")
        running.write_dsn(user, "changed")
    ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = ANY ($1)"
    ended = await running.owner.fetchval(ends, ["loader", "s3sink", "quality"])
    assert ended >= 3

    await running.run()

    running.assert_nothing_was_restarted()
    await running.verify()


async def test_a_password_that_changed_before_its_file_pauses_the_service_and_loses_nothing(
    running: Running,
) -> None:
    await running.owner.execute("ALTER ROLE loader PASSWORD 'later'")
    await running.owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'loader'"
    )
    asked = await running.installation.onpoint("console", "run", "users", "--run-id", "access-early")
    assert asked.code == 0, asked.err
    said = await problem_of(running.ports["loader"], "password authentication failed", within_s=90)
    assert "later" not in said
    assert "changed" not in said

    running.write_dsn("loader", "later")
    await ready(running.ports["loader"], within_s=60)

    running.assert_nothing_was_restarted()
    await running.run()
    await running.verify()
