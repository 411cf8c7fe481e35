"""Apache Kafka: one node in KRaft mode, broker and controller at once."""

import logging
import shutil
import uuid
from functools import partial
from pathlib import Path

from deploy.local import probes
from deploy.local.config import StackConfig
from deploy.local.environment import component_environment
from deploy.local.home import Home, write_private
from deploy.local.managed_process import ProcessSpec
from deploy.local.ports import HOST
from deploy.local.run_to_completion import run_to_completion

NAME = "kafka"
LOG4J = Path(__file__).with_name("kafka-log4j2.properties")
TEMPLATE = Path(__file__).with_name("kafka-server.properties")

JVM_FLAGS = (
    "-Xms128m",
    "-Xmx512m",
    # One collector thread and the quick compiler alone: what matters of a test broker is its start and its size.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)
FORMAT_TIMEOUT_S = 120.0

log = logging.getLogger(__name__)


def kafka_spec(home: Home, config: StackConfig) -> ProcessSpec:
    """The broker; its data folder is formatted before the first start."""
    properties = home.data / "kafka.properties"
    return ProcessSpec(
        name=NAME,
        kind="component",
        port=config.ports.kafka,
        argv=(*java(config), "kafka.Kafka", str(properties)),
        environment=component_environment(NAME, home),
        is_ready=partial(probes.kafka_is_ready, config.ports.kafka),
        stop_timeout_s=30.0,
        prepare=partial(_prepare, home, config, properties),
    )


def java(config: StackConfig, *flags: str) -> tuple[str, ...]:
    """The command that runs a program of Kafka's jars. Of flags that contradict each other the caller's count."""
    return (
        str(config.java),
        *JVM_FLAGS,
        *flags,
        f"-Dlog4j2.configurationFile={LOG4J.as_uri()}",
        "-cp",
        f"{config.kafka_jars}/*",
    )


async def _prepare(home: Home, config: StackConfig, properties: Path) -> None:
    data = home.data / "kafka"
    write_private(properties, _properties(config, data))
    if (data / "meta.properties").exists():
        return
    # Formatted aside and moved as a whole, so a start that is cut off leaves nothing half done.
    fresh = home.data / "kafka.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh_properties = home.data / "kafka.new.properties"
    write_private(fresh_properties, _properties(config, fresh))
    cluster = uuid.uuid4().hex  # in base64 one of 64 would begin like an option
    await run_to_completion(
        NAME,
        (*java(config), "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(fresh_properties)),
        environment=component_environment(NAME, home),
        log_file=home.log_file(NAME),
        timeout_s=FORMAT_TIMEOUT_S,
    )
    fresh_properties.unlink()
    shutil.rmtree(data, ignore_errors=True)
    fresh.rename(data)


def _properties(config: StackConfig, data: Path) -> str:
    values = {
        "host": HOST,
        "port": str(config.ports.kafka),
        "controller_port": str(config.ports.kafka_controller),
        "data": str(data),
        "proxy_listener": f",PROXY://{HOST}:{config.proxy_ports.kafka_behind}" if config.proxy_ports else "",
        "proxy_advertised": f",PROXY://{HOST}:{config.proxy_ports.kafka}" if config.proxy_ports else "",
    }
    text = TEMPLATE.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
