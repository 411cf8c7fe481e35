"""Kafka Connect with Debezium: the changes of the tables go to Kafka."""

import secrets
from functools import partial

from deploy.local import probes
from deploy.local.config import StackConfig
from deploy.local.environment import component_environment, connect_secrets
from deploy.local.home import PROJECT_ROOT, Home, create_passable, write_private
from deploy.local.kafka import java
from deploy.local.managed_process import ProcessSpec
from deploy.local.names import CONNECT
from deploy.local.ports import HOST

# A full load is minutes of the same code: the thorough compiler pays.
JVM_FLAGS = ("-XX:TieredStopAtLevel=4",)
TEMPLATE = PROJECT_ROOT / "deploy" / "kafka-connect" / "worker.properties"
PASSWORD = "postgres_cdc"  # noqa: S105 - the name of a file
"""As the secret of docker-compose.yml is called."""


def connect_specs(home: Home, config: StackConfig) -> list[ProcessSpec]:
    """The worker; none where the stack captures no changes."""
    if config.connect_plugins is None:
        return []
    properties = home.data / "connect.properties"
    return [
        ProcessSpec(
            name=CONNECT,
            kind="component",
            port=config.ports.kafka_connect,
            argv=(
                *java(config, *JVM_FLAGS),
                "org.apache.kafka.connect.cli.ConnectDistributed",
                str(properties),
            ),
            environment=component_environment(CONNECT, home),
            is_ready=partial(probes.http_is_ok, config.ports.kafka_connect, "/connectors"),
            stop_timeout_s=20.0,
            prepare=partial(_prepare, home, config),
        )
    ]


async def _prepare(home: Home, config: StackConfig) -> None:
    folder = connect_secrets(home)
    create_passable(folder)
    if not (folder / PASSWORD).exists():
        write_private(folder / PASSWORD, secrets.token_urlsafe(24))
    values = {
        "kafka": f"{HOST}:{config.ports.kafka}",
        "host": HOST,
        "port": str(config.ports.kafka_connect),
        "plugins": str(config.connect_plugins),
        "replication": "1",
        "secrets": str(folder),
    }
    text = TEMPLATE.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    write_private(home.data / "connect.properties", text)
