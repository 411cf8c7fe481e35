"""Builds every Kafka client, and converts the driver's records."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.protocol.fetch import FetchRequest
from pydantic import SecretStr

from shared.bus.access import DENIED, what_is_denied, who, why_refused
from shared.bus.messages import Record
from shared.bus.token_refusals import heed_refusals
from shared.bus.tokens import CachedTokens, TokenEndpointAwayError
from shared.errors import ConfigurationError
from shared.events.access import Operation
from shared.settings.kafka import KafkaSettings
from shared.settings.variables import variable_of

PROBE_TIMEOUT_MS = 5_000

BEHIND_EVERY_END = 2**62

Consumer = TypeVar("Consumer")


class KafkaAccessError(ConfigurationError):
    """The brokers answer and refuse this client: its certificate, its user, its password, or its permissions."""


class _Client(Protocol):
    async def start(self) -> None: ...


class KafkaClients:
    """Clients with the addresses, TLS and login of the settings. None is started.

    Raises `ConfigurationError` where a certificate or key file cannot be used.
    """

    def __init__(self, settings: KafkaSettings, client_id: str) -> None:
        self.servers = settings.kafka_bootstrap_servers
        """Comma-separated, as in the settings."""
        self.client_id = client_id
        self._settings = settings
        self._security = _security(settings)
        self._options = {
            "bootstrap_servers": self.servers.split(","),
            "client_id": client_id,
            **self._security,
        }

    def producer(self, **options: Any) -> AIOKafkaProducer:
        return AIOKafkaProducer(**{**self._options, **options})

    def consumer(self, **options: Any) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(**{**self._options, **options})

    def consumer_of(self, build: Callable[..., Consumer], **options: Any) -> Consumer:
        """A consumer of the caller's own class."""
        return build(**{**self._options, **options})

    def admin(self, **options: Any) -> AIOKafkaAdminClient:
        return AIOKafkaAdminClient(**{**self._options, **options})

    async def start(self, client: _Client) -> None:
        """Starts a client.

        Raises `KafkaAccessError` where the brokers or the token endpoint refuse it, `TokenEndpointAwayError`, else as the
        client.
        """
        try:
            await client.start()
        except KafkaConnectionError as error:
            if (refusal := await self._refusal()) is not None:
                raise KafkaAccessError(refusal) from error
            raise
        except DENIED as error:
            raise KafkaAccessError(self.denial(error, "Write")) from error

    async def check_permissions(self, group: str, reads: Sequence[str], writes: Sequence[str] = ()) -> None:
        """Raises `KafkaAccessError` that names what this client may not read, or has no right at all to of what it writes.

        Costs three small requests.
        """
        admin = self.admin()
        try:
            await self.start(admin)
            self._require_none("Read", await _unreadable(admin, reads))
            self._require_none("Write", await _unseen(admin, writes))
            await self._find_coordinator(admin, group)
        except GroupAuthorizationFailedError as error:
            raise KafkaAccessError(self.denial(GroupAuthorizationFailedError(group))) from error
        except DENIED as error:
            raise KafkaAccessError(self.denial(error)) from error
        finally:
            await admin.close()

    def _require_none(self, operation: Operation, denied: Sequence[str]) -> None:
        if denied:
            error = TopicAuthorizationFailedError(", ".join(denied))
            raise KafkaAccessError(self.denial(error, operation))

    async def _find_coordinator(self, admin: AIOKafkaAdminClient, group: str) -> None:
        """A cluster without any group yet has no coordinator: that is not a refusal."""
        try:
            await admin.find_coordinator(group)
        except KafkaError as error:
            if not error.retriable:
                raise

    def denial(self, error: KafkaError, operation: Operation = "Read") -> str:
        """One sentence for a right that this client misses. `operation`: what was tried with a topic."""
        return what_is_denied(error, operation, self._settings)

    def denial_of_cluster(self, operation: str, what: str) -> str:
        """One sentence for a right on the cluster that this client misses."""
        return f"Kafka denies the {who(self._settings)} {what}: it needs {operation} on the cluster"

    @property
    def tls(self) -> ssl.SSLContext | None:
        """By which the brokers' certificates are verified; None: the settings ask for no TLS."""
        context = self._security.get("ssl_context")
        return context if isinstance(context, ssl.SSLContext) else None

    @property
    def login_problem(self) -> str | None:
        """Why there is no token to log in with, for people; None: there is one, or none is needed."""
        tokens = self._security.get("sasl_oauth_token_provider")
        return tokens.problem if isinstance(tokens, CachedTokens) else None

    async def _refusal(self) -> str | None:
        """Why the brokers refuse this client; None where one takes it or none answers.

        A client that cannot connect raises the same error for a broker that is away and for one that refuses it.
        Raises `TokenEndpointAwayError`.
        """
        refusal = None
        for server in self.servers.split(","):
            host, _, port = server.strip().rpartition(":")
            try:
                connection = await create_conn(
                    host.strip("[]"), int(port), request_timeout_ms=PROBE_TIMEOUT_MS, **self._security
                )
            except TokenEndpointAwayError:
                raise
            except (KafkaError, OSError, ValueError, TimeoutError) as error:
                refusal = refusal or why_refused(error, server, self._settings)
            else:
                connection.close()
                return None
        return refusal


async def _unreadable(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> list[str]:
    """Those that this client may not read. Of a fetch behind the end of a log the broker sends no record."""
    if not topics:
        return []
    request = FetchRequest(0, 0, 1, 0, [(name, [(0, BEHIND_EVERY_END, 1)]) for name in topics])
    answer = await admin._send_request(request)  # noqa: SLF001 - a consumer would need a partition's leader first
    return sorted(
        name for name, partitions in answer.topics if partitions[0][1] == TopicAuthorizationFailedError.errno
    )


async def _unseen(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> list[str]:
    described = await admin.describe_topics(list(topics)) if topics else []
    return sorted(
        topic["topic"] for topic in described if topic["error_code"] == TopicAuthorizationFailedError.errno
    )


def _security(settings: KafkaSettings) -> dict[str, Any]:
    found: dict[str, Any] = {"security_protocol": settings.kafka_security_protocol}
    if settings.kafka_uses_tls:
        found["ssl_context"] = _tls(settings)
    if settings.kafka_uses_sasl and settings.kafka_sasl_password is not None:
        found["sasl_mechanism"] = settings.kafka_sasl_mechanism
        if settings.kafka_sasl_mechanism == "OAUTHBEARER":
            found["sasl_oauth_token_provider"] = _tokens(settings, settings.kafka_sasl_password)
        else:
            found["sasl_plain_username"] = settings.kafka_sasl_username
            found["sasl_plain_password"] = _password(settings, settings.kafka_sasl_password)
    return found


def _password(settings: KafkaSettings, read: SecretStr) -> str:
    """The file's, where it is the one that counts: a variable that is set wins over its file."""
    if settings.kafka_sasl_password_file is not None:
        from shared.bus.password_file import PasswordFile  # noqa: PLC0415 - a command without it is spared the log

        followed = PasswordFile(Path(settings.kafka_sasl_password_file))
        if followed == read.get_secret_value():
            return followed
    return read.get_secret_value()


def _tokens(settings: KafkaSettings, secret: SecretStr) -> CachedTokens:
    from shared.bus.token_endpoint import TokenEndpoint  # noqa: PLC0415 - a command without it is spared aiohttp

    heed_refusals()
    url, client_id = settings.kafka_oauth_token_url or "", settings.kafka_sasl_username or ""
    return CachedTokens(TokenEndpoint(url, client_id, secret, settings.kafka_oauth_scope).ask)


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    """The broker's certificate and its host name are verified."""
    ca, certificate, key = (
        settings.kafka_ssl_ca_file,
        settings.kafka_ssl_cert_file,
        settings.kafka_ssl_key_file,
    )
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("kafka_ssl_ca_file", ca, error) from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ssl.SSLError) as error:
            raise _unusable("kafka_ssl_cert_file", f"{certificate} with {key}", error) from error
    return context


def _unusable(field: str, file: str | None, error: Exception) -> ConfigurationError:
    why = getattr(error, "strerror", None) or type(error).__name__
    return ConfigurationError(f"{variable_of(field)}: {file} cannot be used: {why}")


def to_record(raw: ConsumerRecord) -> Record:
    return Record(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        timestamp_ms=raw.timestamp,
        key=raw.key,
        value=raw.value,
        headers=tuple(raw.headers or ()),
    )


async def send_raw(
    producer: AIOKafkaProducer, topic: str, record: Record, headers: Sequence[tuple[str, bytes | None]]
) -> None:
    """Sends a record on as it is: its key and value, with these headers. Acked when it returns."""
    if record.key is not None or record.value is not None:
        await producer.send_and_wait(topic, record.value, key=record.key, headers=list(headers))
        return
    # aiokafka sends no record without both, but other clients do; a batch is not asked what is in it.
    batch = producer.create_batch()
    batch.append(timestamp=None, key=None, value=None, headers=list(headers))
    partition = min(await producer.partitions_for(topic))
    await (await producer.send_batch(batch, topic, partition=partition))
