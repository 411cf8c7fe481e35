"""A worker of Kafka Connect with Debezium, as its own user of a broker with ACLs."""

import asyncio
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from console.client.cdc.names import PASSWORD_FILE
from console.client.cdc.register import CA_FILE, JAAS_FILE
from deploy.local.connect import JVM_FLAGS as CONNECT_FLAGS
from deploy.local.connect import TEMPLATE
from deploy.local.fetch import fetch, fetch_debezium
from deploy.local.kafka import JVM_FLAGS, LOG4J
from deploy.local.ports import HOST, free_port
from deploy.local.tools import find_java
from tests.support.secure_kafka import SecureKafka, login_of

USER = "connect"
START_S = 120


class ConnectWorker:
    """A context manager that leaves no process behind."""

    def __init__(self, broker: SecureKafka, folder: Path) -> None:
        self._broker = broker
        self._folder = folder
        self.secrets = folder / "secrets"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """The settings that lead `onpoint cdc` to it."""
        return {
            "ONPOINT_CDC_CONNECT_URL": f"http://{HOST}:{self.port}",
            "ONPOINT_CDC_SECRETS_DIR": str(self.secrets),
        }

    async def __aenter__(self) -> Self:
        self._process = self._start()
        try:
            await self._until_it_answers(self._process)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def log(self) -> str:
        return (self._folder / "connect.log").read_text(errors="replace")

    def _start(self) -> subprocess.Popen[bytes]:
        properties = self._write_files()
        argv = (
            *(str(find_java(os.environ)), *JVM_FLAGS, *CONNECT_FLAGS),
            *(f"-Dlog4j2.configurationFile={LOG4J.as_uri()}", "-cp", f"{fetch(os.environ, print).kafka}/*"),
            *("org.apache.kafka.connect.cli.ConnectDistributed", str(properties)),
        )
        with (self._folder / "connect.log").open("wb") as log:
            return subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _write_files(self) -> Path:
        self.secrets.mkdir(mode=0o700)
        login = login_of(USER)
        (self.secrets / PASSWORD_FILE).write_text("capture")
        (self.secrets / JAAS_FILE).write_text(login)
        (self.secrets / CA_FILE).write_bytes(self._broker.ca.read_bytes())
        values = {
            "kafka": self._broker.environment(USER)["ONPOINT_KAFKA_BOOTSTRAP_SERVERS"],
            "host": HOST,
            "port": str(self.port),
            "plugins": str(fetch_debezium(os.environ, print)),
            "replication": "1",
            "secrets": str(self.secrets),
        }
        text = TEMPLATE.read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        security = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.jaas.config": login,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.secrets / CA_FILE),
        }
        lines = [
            f"{prefix}{name}={value}"
            for prefix in ("", "producer.", "consumer.", "admin.")
            for name, value in security.items()
        ]
        properties = self._folder / "connect.properties"
        properties.write_text(text + "\n" + "\n".join(lines) + "\n")
        return properties

    async def _until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as client:
            while True:
                assert process.poll() is None, self.log()[-3000:]
                try:
                    async with client.get(f"http://{HOST}:{self.port}/connectors") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.5)
