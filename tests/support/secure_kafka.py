"""A broker of its own that takes clients over TLS with SCRAM only, and lets each do what its ACLs name."""

import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.protocol.admin import CreateAclsRequest
from pydantic import SecretStr

from deploy.local.config import StackConfig
from deploy.local.kafka import JVM_FLAGS, LOG4J
from deploy.local.ports import HOST, free_port
from shared.bus.kafka import KafkaClients
from shared.settings.kafka import KafkaSettings
from tests.support.acls import Acl
from tests.support.certificates import make_certificates

ADMIN = "admin"
START_TIMEOUT_S = 180

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=SASL_SSL://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=SASL_SSL://{host}:{port}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={jaas}
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={ca}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{admin};User:ANONYMOUS
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
"""Only the controller's listener knows anonymous clients; it is the broker's own."""


class SecureKafka:
    """Apache Kafka in a folder; a context manager. Every user's password is made from its name."""

    def __init__(self, folder: Path, config: StackConfig, users: Iterable[str]) -> None:
        self._folder = folder
        self._users = (ADMIN, *users)
        self._java = (
            str(config.java),
            *JVM_FLAGS,
            f"-Dlog4j2.configurationFile={LOG4J.as_uri()}",
            "-cp",
            f"{config.kafka_jars}/*",
        )
        self.port = free_port()
        self.ca = folder / "certificates/ca.pem"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        properties = self._write_properties()
        scram = [
            word
            for user in self._users
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password_of(user)}]")
        ]
        self._run("kafka.tools.StorageTool", "format", "-t", "Z" * 21 + "w", "-c", str(properties), *scram)
        with (self._folder / "kafka.log").open("wb") as log:
            self._process = subprocess.Popen(
                (*self._java, "kafka.Kafka", str(properties)),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            self._wait_until_it_listens(self._process)
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()

    def log(self) -> str:
        return (self._folder / "kafka.log").read_text(errors="replace")[-5000:]

    def environment(self, user: str) -> dict[str, str]:
        """The settings that connect a process as this user."""
        return {
            "ONPOINT_KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{self.port}",
            "ONPOINT_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "ONPOINT_KAFKA_SASL_USERNAME": user,
            "ONPOINT_KAFKA_SASL_PASSWORD": password_of(user),
            "ONPOINT_KAFKA_SSL_CA_FILE": str(self.ca),
        }

    def clients(self, user: str, **settings: str | None) -> KafkaClients:
        given: Mapping[str, str | SecretStr | None] = {
            "kafka_bootstrap_servers": f"{HOST}:{self.port}",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": user,
            "kafka_sasl_password": SecretStr(password_of(user)),
            "kafka_ssl_ca_file": str(self.ca),
            **settings,
        }
        return KafkaClients(KafkaSettings.model_validate(given), "onpoint-test")

    async def allow(self, acls: Iterable[Acl]) -> None:
        admin = self.clients(ADMIN).admin()
        await admin.start()
        try:
            for acl in acls:
                request = CreateAclsRequest(
                    acl.resource,
                    acl.name,
                    acl.pattern,
                    f"User:{acl.user}",
                    "*",
                    acl.operation,
                    acl.permission,
                )
                response = await admin._send_request(request)  # noqa: SLF001 - aiokafka builds the request and offers no call
                assert [code for code, *_ in response.creation_responses] == [0], response
        finally:
            await admin.close()

    def _write_properties(self) -> Path:
        certificates = make_certificates(self.ca.parent, HOST)
        login = "org.apache.kafka.common.security.scram.ScramLoginModule"
        properties = self._folder / "kafka.properties"
        properties.write_text(
            PROPERTIES.format(
                host=HOST,
                port=self.port,
                controller=free_port((self.port,)),
                admin=ADMIN,
                jaas=f'{login} required username="{ADMIN}" password="{password_of(ADMIN)}";',
                keystore=certificates.keystore,
                ca=certificates.ca,
                data=self._folder / "data",
            )
        )
        return properties

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> None:
        until_s = time.monotonic() + START_TIMEOUT_S
        while not _is_listening(self.port):
            assert process.poll() is None, self.log()
            assert time.monotonic() < until_s, self.log()
            time.sleep(0.1)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _run(self, *words: str) -> None:
        done = subprocess.run((*self._java, *words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def password_of(user: str) -> str:
    return f"password-of-{user}"


def _is_listening(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
