"""A broker of its own that takes clients over TLS only: by SCRAM, token or certificate. Each may do what its ACLs name."""

import os
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.fetch import fetch
from deploy.local.kafka import JVM_FLAGS, LOG4J
from deploy.local.ports import HOST, free_port
from deploy.local.tools import find_java
from shared.bus.access_admin import Difference, Grant, apply
from shared.bus.kafka import KafkaClients
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings
from tests.support.certificates import ClientCertificate, make_certificates
from tests.support.tokens import AUDIENCE, ISSUER, Issuer

ADMIN = "admin"
BROKER = "CN=broker"
"""As its certificate has it; the controller's listener knows the broker by that."""
START_TIMEOUT_S = 180

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=SASL_SSL://{host}:{port},TOKENS://{host}:{tokens},CERTIFICATES://{host}:{certificates},CONTROLLER://{host}:{controller}
advertised.listeners=SASL_SSL://{host}:{port},TOKENS://{host}:{tokens},CERTIFICATES://{host}:{certificates}
listener.security.protocol.map=SASL_SSL:SASL_SSL,TOKENS:SASL_SSL,CERTIFICATES:SSL,CONTROLLER:SSL
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={jaas}
listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.tokens.oauthbearer.sasl.jaas.config={oauth}.OAuthBearerLoginModule required;
listener.name.tokens.oauthbearer.sasl.server.callback.handler.class={oauth}.OAuthBearerValidatorCallbackHandler
listener.name.tokens.oauthbearer.connections.max.reauth.ms=3600000
sasl.oauthbearer.jwks.endpoint.url={jwks}
sasl.oauthbearer.expected.issuer={issuer}
sasl.oauthbearer.expected.audience={audience}
listener.name.certificates.ssl.client.auth=required
listener.name.controller.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:{broker}
allow.everyone.if.no.acl.found=false
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
offsets.topic.num.partitions=2
transaction.state.log.num.partitions=2
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000
"""
"""No listener knows anonymous clients: the controller's takes the broker's own certificate. A connection ends with the token
that it was opened with."""

OAUTH = "org.apache.kafka.common.security.oauthbearer"
ALLOWED_URLS = "org.apache.kafka.sasl.oauthbearer.allowed.urls"


class SecureKafka:
    """Apache Kafka in a folder; a context manager. Every user's password is made from its name."""

    def __init__(self, folder: Path, users: Iterable[str] = ()) -> None:
        """Each of `users` can log in by SCRAM."""
        self._folder = folder
        self._users = (ADMIN, *users)
        self.issuer = Issuer(folder / "issuer")
        self._java = (
            str(find_java(os.environ)),
            *JVM_FLAGS,
            f"-Dlog4j2.configurationFile={LOG4J.as_uri()}",
            f"-D{ALLOWED_URLS}={self.issuer.jwks.as_uri()}",
            "-cp",
            f"{fetch(os.environ, print).kafka}/*",
        )
        self.port = free_port()
        self._token_port = free_port((self.port,))
        self._certificate_port = free_port((self.port, self._token_port))
        self.ca = folder / "certificates/ca.pem"
        self._properties = folder / "kafka.properties"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._write_properties()
        scram = [
            word
            for user in self._users
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password_of(user)}]")
        ]
        self._run(
            "kafka.tools.StorageTool", "format", "-t", "Z" * 21 + "w", "-c", str(self._properties), *scram
        )
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Once more after `kill`, with its data."""
        with (self._folder / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(
                (*self._java, "kafka.Kafka", str(self._properties)),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            self._wait_until_it_listens(self._process)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """As a machine that is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def set_password(self, user: str, password: str) -> None:
        """As an operator does, by Kafka's own tool."""
        client = self._folder / "admin.properties"
        client.write_text(
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
            f"sasl.jaas.config={login_of(ADMIN)}\n"
            f"ssl.truststore.type=PEM\nssl.truststore.location={self.ca}\n"
        )
        self._run(
            *("kafka.admin.ConfigCommand", "--bootstrap-server", f"{HOST}:{self.port}"),
            *("--command-config", str(client), "--alter", "--entity-type", "users", "--entity-name", user),
            *("--add-config", f"SCRAM-SHA-512=[password={password}]"),
        )

    def log(self) -> str:
        return (self._folder / "kafka.log").read_text(errors="replace")[-5000:]

    def environment(self, user: str) -> dict[str, str]:
        """The settings that connect a process as this user."""
        return {
            **self._reach(self.port, "SASL_SSL"),
            "ONPOINT_KAFKA_SASL_USERNAME": user,
            "ONPOINT_KAFKA_SASL_PASSWORD": password_of(user),
        }

    def environment_of_token(self, client: str, url: str) -> dict[str, str]:
        """As `environment`, by tokens of the endpoint; the user is named as the client."""
        return {
            **self.environment(client),
            **self._reach(self._token_port, "SASL_SSL"),
            "ONPOINT_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "ONPOINT_KAFKA_OAUTH_TOKEN_URL": url,
        }

    def environment_of_certificate(self, client: ClientCertificate | None) -> dict[str, str]:
        """As `environment`, by a certificate; the user is named as its subject. None: without one."""
        reach = self._reach(self._certificate_port, "SSL")
        if client is None:
            return reach
        files = {"CERT": client.certificate, "KEY": client.key}
        return {**reach, **{f"ONPOINT_KAFKA_SSL_{name}_FILE": str(file) for name, file in files.items()}}

    def clients(self, user: str, **settings: str | None) -> KafkaClients:
        """As the user; `settings` are fields that differ."""
        changed = {f"ONPOINT_{name.upper()}": value or "" for name, value in settings.items()}
        return clients_of({**self.environment(user), **changed})

    async def allow(self, grants: Iterable[Grant]) -> None:
        await apply(self.clients(ADMIN), Difference(tuple(grants), (), ()))

    async def revoke(self, grants: Iterable[Grant]) -> None:
        await apply(self.clients(ADMIN), Difference((), tuple(grants), ()), prune=True)

    def _reach(self, port: int, protocol: str) -> dict[str, str]:
        return {
            "ONPOINT_KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{port}",
            "ONPOINT_KAFKA_SECURITY_PROTOCOL": protocol,
            "ONPOINT_KAFKA_SSL_CA_FILE": str(self.ca),
        }

    def _write_properties(self) -> None:
        certificates = make_certificates(self.ca.parent, HOST)
        self._properties.write_text(
            PROPERTIES.format(
                host=HOST,
                port=self.port,
                tokens=self._token_port,
                certificates=self._certificate_port,
                controller=free_port((self.port, self._token_port, self._certificate_port)),
                admin=ADMIN,
                broker=BROKER,
                jaas=login_of(ADMIN),
                oauth=OAUTH,
                jwks=self.issuer.jwks.as_uri(),
                issuer=ISSUER,
                audience=AUDIENCE,
                keystore=certificates.keystore,
                ca=certificates.ca,
                data=self._folder / "data",
            )
        )

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        until_s = time.monotonic() + START_TIMEOUT_S
        while not _is_listening(self.port):
            assert process.poll() is None, self.log()
            assert time.monotonic() < until_s, self.log()
            time.sleep(0.1)

    def _run(self, *words: str) -> None:
        done = subprocess.run((*self._java, *words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def clients_of(environment: dict[str, str]) -> KafkaClients:
    return KafkaClients(load_settings(KafkaSettings, environment), "onpoint-test")


def login_of(user: str) -> str:
    """As Kafka's own clients take it."""
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    return f'{module} required username="{user}" password="{password_of(user)}";'


def password_of(user: str) -> str:
    return f"password-of-{user}"


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
