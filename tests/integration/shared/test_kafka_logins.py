"""Logins by token and by certificate on a real broker with ACLs: clients of each kind, and each refusal as one sentence."""

import asyncio
import contextlib
import json
import ssl
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from shared.bus.access_admin import Grant
from shared.bus.consumer import GroupConsumer
from shared.bus.kafka import KafkaAccessError, KafkaClients
from shared.bus.tokens import PAUSE_S, TokenEndpointAwayError
from shared.bus.topic_admin import TopicSpec, apply_topics
from tests.support.certificates import (
    ClientCertificate,
    make_broker_certificate,
    make_ca,
    make_client_certificate,
)
from tests.support.lone_service import LoneService
from tests.support.secure_kafka import ADMIN, SecureKafka, clients_of, password_of
from tests.support.tokens import TokenServer

pytestmark = pytest.mark.integration

WRONG_SETTINGS = 2

TOPIC_NAME, GROUP_NAME = "logins", "onpoint-logins"
SPEC = TopicSpec(partitions=1, retention_hours=1, max_message_bytes=1_000_000)
CLIENT = "loader"
SUBJECT, DISTINGUISHED_NAME = "/O=Example/OU=Data/CN=loader", "CN=loader,OU=Data,O=Example"
STRANGER, STRANGERS_NAME = "/O=Example/CN=stranger", "CN=stranger,O=Example"


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecureKafka]:
    with SecureKafka(tmp_path_factory.mktemp("kafka")) as broker:
        await broker.allow(
            grant
            for user in (CLIENT, DISTINGUISHED_NAME)
            for grant in (
                Grant(f"User:{user}", "topic", TOPIC_NAME, "Read"),
                Grant(f"User:{user}", "topic", TOPIC_NAME, "Write"),
                Grant(f"User:{user}", "group", GROUP_NAME, "Read"),
            )
        )
        await apply_topics(broker.clients(ADMIN), {TOPIC_NAME: SPEC})
        yield broker


@pytest.fixture(scope="module")
async def token_server(kafka: SecureKafka) -> AsyncIterator[TokenServer]:
    secrets = {name: password_of(name) for name in (CLIENT, "stranger")}
    async with TokenServer(kafka.issuer, secrets) as server:
        yield server


@pytest.fixture
def tokens(token_server: TokenServer) -> TokenServer:
    token_server.as_usual()
    return token_server


@pytest.fixture(scope="module")
def certificate(kafka: SecureKafka) -> ClientCertificate:
    return make_client_certificate(kafka.ca, "loader", SUBJECT)


async def test_a_client_of_each_kind_logs_in_by_one_token(kafka: SecureKafka, tokens: TokenServer) -> None:
    environment = kafka.environment_of_token(CLIENT, tokens.url)
    clients = clients_of({**environment, "ONPOINT_KAFKA_OAUTH_SCOPE": "kafka:use"})
    await clients.check_permissions(GROUP_NAME, [TOPIC_NAME])
    await a_record_goes_through(clients)

    assert tokens.asked == [{"grant_type": "client_credentials", "scope": "kafka:use"}]


async def test_clients_go_on_when_the_token_of_their_connection_has_expired(
    kafka: SecureKafka, tokens: TokenServer
) -> None:
    tokens.lifetime_s = 3
    clients = clients_of(kafka.environment_of_token(CLIENT, tokens.url))
    producer = clients.producer(acks="all", enable_idempotence=True)
    consumer = clients.consumer(group_id=GROUP_NAME, auto_offset_reset="latest", enable_auto_commit=False)
    consumer.subscribe([TOPIC_NAME])
    await clients.start(producer)
    await clients.start(consumer)
    try:
        await consumer.seek_to_end()
        sent = [uuid.uuid4().bytes for _ in range(8)]
        for value in sent:
            await producer.send_and_wait(TOPIC_NAME, value)
            await asyncio.sleep(0.6)
        async with asyncio.timeout(15):
            assert [(await consumer.getone()).value for _ in sent] == sent
        await consumer.commit()
    finally:
        await producer.stop()
        await consumer.stop()

    assert len(tokens.asked) >= 2


async def test_a_token_of_another_audience_is_refused_by_the_broker(
    kafka: SecureKafka, tokens: TokenServer
) -> None:
    tokens.audience = "another"
    said = await refusal_of(clients_of(kafka.environment_of_token(CLIENT, tokens.url)))

    assert "does not take the token of the client 'loader': check its issuer and audience" in said


async def test_a_client_without_rights_is_named(kafka: SecureKafka, tokens: TokenServer) -> None:
    clients = clients_of(kafka.environment_of_token("stranger", tokens.url))
    with pytest.raises(KafkaAccessError, match="denies the user 'stranger' Read on the topics logins"):
        await clients.check_permissions(GROUP_NAME, [TOPIC_NAME])


async def test_a_token_endpoint_that_is_away_is_named(kafka: SecureKafka, tokens: TokenServer) -> None:
    tokens.status = 503
    clients = clients_of(kafka.environment_of_token(CLIENT, tokens.url))
    producer = clients.producer()
    with pytest.raises(TokenEndpointAwayError) as away:
        await clients.start(producer)
    assert str(away.value) == clients.login_problem == f"the token endpoint {tokens.url} answers 503"

    tokens.as_usual()
    await asyncio.sleep(PAUSE_S)
    await clients.start(producer)
    await producer.stop()
    assert clients.login_problem is None


async def test_a_service_waits_for_the_token_endpoint_and_ends_with_one_sentence_when_that_refuses(
    kafka: SecureKafka, tokens: TokenServer, tmp_path: Path
) -> None:
    tokens.status = 503
    settings = {
        **kafka.environment_of_token("processor", tokens.url),
        "ONPOINT_KAFKA_SASL_PASSWORD": "hidden",
    }
    with LoneService("processor", tmp_path / "log", **settings) as service:
        async with asyncio.timeout(30):
            while len(tokens.asked) < 3:
                await asyncio.sleep(0.1)
        tokens.as_usual()
        code = await service.exited()
    waiting, sentence = before_and_after_heading(service)

    assert code == WRONG_SETTINGS
    assert [json.loads(line)["why"] for line in waiting if "waiting_for_kafka" in line] == [
        f"TokenEndpointAwayError: the token endpoint {tokens.url} answers 503"
    ]
    assert sentence == (
        f"The token endpoint {tokens.url} refuses the client 'processor' with 401 (invalid_client): "
        "check ONPOINT_KAFKA_SASL_USERNAME and ONPOINT_KAFKA_SASL_PASSWORD"
    )
    assert "hidden" not in service.log()
    assert len(tokens.asked) == 1


async def test_a_client_of_each_kind_logs_in_by_its_certificate(
    kafka: SecureKafka, certificate: ClientCertificate
) -> None:
    clients = clients_of(kafka.environment_of_certificate(certificate))
    await clients.check_permissions(GROUP_NAME, [TOPIC_NAME])
    await a_record_goes_through(clients)


async def test_the_acls_hold_for_the_name_in_the_certificate(kafka: SecureKafka) -> None:
    stranger = make_client_certificate(kafka.ca, "stranger", STRANGER)
    clients = clients_of(kafka.environment_of_certificate(stranger))
    named = f"denies the client with the certificate {stranger.certificate} Read on the topics logins"
    with pytest.raises(KafkaAccessError, match=named):
        await clients.check_permissions(GROUP_NAME, [TOPIC_NAME])

    await kafka.allow(
        [
            Grant(f"User:{STRANGERS_NAME}", "topic", TOPIC_NAME, "Read"),
            Grant(f"User:{STRANGERS_NAME}", "group", GROUP_NAME, "Read"),
        ]
    )
    await clients.check_permissions(GROUP_NAME, [TOPIC_NAME])


async def test_a_group_whose_right_is_taken_and_given_again_reads_on(
    kafka: SecureKafka, certificate: ClientCertificate
) -> None:
    clients = clients_of(kafka.environment_of_certificate(certificate))
    right = Grant(f"User:{DISTINGUISHED_NAME}", "group", "onpoint-taken", "Read")
    await kafka.allow([right])
    consumer = clients.consumer_of(
        GroupConsumer, denied=lambda *_: None, group_id=right.name, enable_auto_commit=False
    )
    consumer.subscribe([TOPIC_NAME])
    await clients.start(consumer)
    try:
        async with asyncio.timeout(60):
            await a_record_comes(clients, consumer)
            await kafka.revoke([right])
            with pytest.raises(GroupAuthorizationFailedError):
                await records_without_end(consumer)
            await kafka.allow([right])
            await a_record_comes(clients, consumer)
    finally:
        await consumer.stop()


async def test_a_service_without_a_certificate_ends_with_one_sentence(
    kafka: SecureKafka, tmp_path: Path
) -> None:
    settings = kafka.environment_of_certificate(None)
    with LoneService("processor", tmp_path / "log", **settings) as service:
        code = await service.exited()

    assert code == WRONG_SETTINGS
    sentence = (
        f"Kafka at {settings['ONPOINT_KAFKA_BOOTSTRAP_SERVERS']} asks for a client certificate: "
        "set ONPOINT_KAFKA_SSL_CERT_FILE and ONPOINT_KAFKA_SSL_KEY_FILE"
    )
    assert before_and_after_heading(service)[1] == sentence


async def test_a_client_without_a_certificate_is_told_so_each_time(kafka: SecureKafka) -> None:
    clients = clients_of(kafka.environment_of_certificate(None))
    for _ in range(5):
        assert "asks for a client certificate: set ONPOINT_KAFKA_SSL_CERT_FILE" in await refusal_of(clients)


async def test_a_certificate_of_an_unknown_ca_is_refused(kafka: SecureKafka, tmp_path: Path) -> None:
    unknown = make_client_certificate(make_ca(tmp_path / "other"), "loader", SUBJECT)
    clients = clients_of(kafka.environment_of_certificate(unknown))
    for _ in range(5):
        said = await refusal_of(clients)
        assert "does not take the client certificate: " in said
        assert said.endswith(f"(ONPOINT_KAFKA_SSL_CERT_FILE: {unknown.certificate})")


async def test_a_certificate_that_has_expired_is_refused_and_named(kafka: SecureKafka) -> None:
    expired = make_client_certificate(kafka.ca, "expired", SUBJECT, days=0)
    await asyncio.sleep(1.5)
    said = await refusal_of(clients_of(kafka.environment_of_certificate(expired)))

    assert "does not take the client certificate: " in said
    assert said.endswith(f"(ONPOINT_KAFKA_SSL_CERT_FILE: {expired.certificate})")


async def test_a_broker_whose_certificate_has_expired_is_not_trusted(kafka: SecureKafka) -> None:
    expired = make_broker_certificate(kafka.ca, "broker-of-yesterday", days=0)
    await asyncio.sleep(1.5)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(expired.certificate, expired.key)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        clients = kafka.clients("loader", kafka_bootstrap_servers=f"127.0.0.1:{port}")

        assert "its certificate does not pass: certificate has expired" in await refusal_of(clients)


async def a_record_goes_through(clients: KafkaClients) -> None:
    """A producer, a consumer of a group and an admin client."""
    value = uuid.uuid4().bytes
    admin = clients.admin()
    producer = clients.producer(acks="all", enable_idempotence=True)
    consumer = clients.consumer(group_id=GROUP_NAME, auto_offset_reset="earliest", enable_auto_commit=False)
    consumer.subscribe([TOPIC_NAME])
    try:
        for client in (admin, producer, consumer):
            await clients.start(client)
        assert TOPIC_NAME in await admin.list_topics()
        await producer.send_and_wait(TOPIC_NAME, value)
        async with asyncio.timeout(15):
            while (await consumer.getone()).value != value:
                pass
        await consumer.commit()
    finally:
        await admin.close()
        await producer.stop()
        await consumer.stop()


async def records_without_end(consumer: GroupConsumer) -> None:
    while True:
        await consumer.getone()


async def a_record_comes(clients: KafkaClients, consumer: GroupConsumer) -> None:
    """A new one, whatever refusals come before it."""
    value = uuid.uuid4().bytes
    producer = clients.producer(acks="all")
    await clients.start(producer)
    try:
        await producer.send_and_wait(TOPIC_NAME, value)
    finally:
        await producer.stop()
    found = None
    while found != value:
        with contextlib.suppress(GroupAuthorizationFailedError):
            found = (await consumer.getone()).value


def before_and_after_heading(service: LoneService) -> tuple[list[str], str]:
    """What the service logged, and the sentence with which it ended."""
    lines = service.log().splitlines()
    place = lines.index("processor: wrong settings")
    return lines[:place], lines[place + 1]


async def refusal_of(clients: KafkaClients) -> str:
    """What a producer tells that must not start."""
    producer = clients.producer()
    try:
        with pytest.raises(KafkaAccessError) as refused:
            await clients.start(producer)
    finally:
        await producer.stop()
    return str(refused.value)
