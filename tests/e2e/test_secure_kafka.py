"""The pipeline on a broker with TLS, SCRAM and ACLs, each service as a user of its own with its own rights alone."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from shared.bus.access_admin import Grant, grants
from shared.bus.kafka import KafkaAccessError, KafkaClients
from shared.bus.topic_admin import apply_topics, load_topics
from shared.events import topics
from shared.events.access import users
from shared.events.topology import SERVICES
from tests.support.certificates import make_ca
from tests.support.crawler import environment_for
from tests.support.secure_kafka import SecureKafka, password_of
from tests.support.service_processes import ServiceProcesses
from tests.support.source import SourceServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
STRANGER = "stranger"
WRONG_SETTINGS = 2


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecureKafka]:
    rights = users()
    folder = tmp_path_factory.mktemp("kafka")
    with SecureKafka(folder, (*rights, STRANGER)) as broker:
        await broker.allow(grants(rights))
        await apply_topics(broker.clients("topics"), load_topics(ROOT / "deploy/kafka/topics.yaml"))
        yield broker


@pytest.fixture
def processes(components: LocalStack, tmp_path: Path) -> Iterator[ServiceProcesses]:
    with ServiceProcesses(components, tmp_path) as processes:
        yield processes


async def test_a_run_goes_through_six_services_that_have_their_own_rights_alone(
    processes: ServiceProcesses, kafka: SecureKafka, postgres_dsn: str, source: SourceServer
) -> None:
    crawling = {"ONPOINT_CRAWL_ALLOW_HOSTS": source.allow, **environment_for(source.url)}
    services = [
        processes.start(service, **crawling, **kafka.environment(service), ONPOINT_POSTGRES_DSN=postgres_dsn)
        for service in SERVICES
    ]
    for service in services:
        await service.ready(within_s=120)
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console", "run", "users", "albums"),
        *("--run-id", f"secure-{uuid.uuid4().hex[:8]}", "--wait", "--timeout", "120", "--json"),
        cwd=ROOT,
        env={**os.environ, **kafka.environment("console"), "ONPOINT_POSTGRES_DSN": postgres_dsn},
        stdout=asyncio.subprocess.PIPE,
    )
    completed, _ = await command.communicate()

    assert command.returncode == 0
    found = json.loads(completed)
    assert {name: dataset["rows_stored"] for name, dataset in found["datasets"].items()} == {
        "users": 10,
        "albums": 100,
    }
    refused = [line for service in services for line in service.log().splitlines() if "Authorization" in line]
    assert refused == []


@pytest.mark.parametrize(
    ("user", "password", "sentence"),
    [
        (
            "processor",
            "wrong",
            "refuses the user 'processor': check ONPOINT_KAFKA_SASL_USERNAME and ONPOINT_",
        ),
        (STRANGER, password_of(STRANGER), "denies the user 'stranger' to publish: it may write to no topic"),
    ],
    ids=["wrong password", "no ACL"],
)
async def test_a_service_that_the_broker_refuses_ends_with_one_sentence(
    processes: ServiceProcesses, kafka: SecureKafka, user: str, password: str, sentence: str
) -> None:
    settings = {**kafka.environment(user), "ONPOINT_KAFKA_SASL_PASSWORD": password}
    service = processes.start("processor", **settings)

    assert await service.exited(60) == WRONG_SETTINGS
    lines = service.log().splitlines()
    assert lines[-2] == "processor: wrong settings"
    assert sentence in lines[-1]


async def test_a_command_that_the_broker_refuses_ends_with_one_sentence(kafka: SecureKafka) -> None:
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "console", "run", "users"),
        cwd=ROOT,
        env={**kafka.environment("console"), "ONPOINT_KAFKA_SASL_PASSWORD": "wrong"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await command.communicate()

    assert command.returncode == WRONG_SETTINGS
    assert "refuses the user 'console': check ONPOINT_KAFKA_SASL_USERNAME" in err.decode()


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ({"kafka_sasl_username": "unknown"}, "refuses the user 'unknown': check ONPOINT_KAFKA_SASL_USERNAME"),
        (
            {"kafka_sasl_mechanism": "SCRAM-SHA-256"},
            "does not offer ONPOINT_KAFKA_SASL_MECHANISM=SCRAM-SHA-256",
        ),
        ({"kafka_ssl_ca_file": None}, "(ONPOINT_KAFKA_SSL_CA_FILE: the system's CA certificates)"),
        ({"kafka_bootstrap_servers": "localhost:{port}"}, "its certificate does not pass: Hostname mismatch"),
    ],
    ids=["user", "mechanism", "system's CA", "host name"],
)
async def test_a_client_that_the_broker_refuses_is_told_why(
    kafka: SecureKafka, mistake: dict[str, str | None], sentence: str
) -> None:
    changed = {name: value and value.format(port=kafka.port) for name, value in mistake.items()}
    clients = kafka.clients("processor", **changed)

    assert sentence in await refusal_of(clients)


async def test_a_certificate_of_another_ca_is_refused(kafka: SecureKafka, tmp_path: Path) -> None:
    clients = kafka.clients("processor", kafka_ssl_ca_file=str(make_ca(tmp_path / "other")))

    assert "its certificate does not pass: " in await refusal_of(clients)


async def test_a_user_without_rights_is_told_which_it_needs(kafka: SecureKafka) -> None:
    clients = kafka.clients(STRANGER)
    names = (topics.BATCH_CRAWLED, topics.retry_topic("processor"))
    with pytest.raises(
        KafkaAccessError,
        match=r"denies the user 'stranger' Read on the topics batch\.crawled, processor\.retry",
    ):
        await clients.check_permissions("onpoint-processor", names)

    await kafka.allow(Grant(f"User:{STRANGER}", "topic", name, "Read") for name in names)
    with pytest.raises(
        KafkaAccessError, match="denies the user 'stranger' Read on the consumer group onpoint-processor"
    ):
        await clients.check_permissions("onpoint-processor", names)

    await kafka.allow([Grant(f"User:{STRANGER}", "group", "onpoint-processor", "Read")])
    await clients.check_permissions("onpoint-processor", names)


async def refusal_of(clients: KafkaClients) -> str:
    """The error of a producer that must not start."""
    producer = clients.producer()
    try:
        with pytest.raises(KafkaAccessError) as refused:
            await clients.start(producer)
    finally:
        await producer.stop()
    return str(refused.value)
