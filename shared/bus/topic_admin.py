"""Topics as they are declared: read the file, create what is missing, set the configuration of the others, tell where the
number of partitions differs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.bus.kafka import KafkaClients
from shared.errors import ConfigurationError
from shared.events.topics import dead_letter_topic, retry_topic

HOUR_MS = 3_600_000


class TopicSpec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    partitions: Annotated[int, Field(ge=1)]
    retention_hours: Annotated[int, Field(ge=-1)]
    max_message_bytes: Annotated[int, Field(ge=1)]
    cleanup: Literal["delete", "compact"] = "delete"
    timestamp_type: Literal["CreateTime", "LogAppendTime"] = "CreateTime"

    def config(self) -> dict[str, str]:
        retention_ms = -1 if self.retention_hours < 0 else self.retention_hours * HOUR_MS
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": self.timestamp_type,
        }


@dataclass(frozen=True, slots=True)
class Applied:
    created: tuple[str, ...]
    changed: tuple[str, ...]
    differing: tuple[str, ...]
    """A topic whose number of partitions differs: only an operator can change it."""


def load_topics(path: Path, *, partitions: int | None = None) -> dict[str, TopicSpec]:
    """`partitions` take the place of the file's default; a topic that declares its own number keeps it.

    Raises `ConfigurationError` that names the file and the topic.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        defaults, services = document["defaults"], document["services"]
        if partitions is not None:
            defaults = {**defaults, "partitions": partitions}
        raw = dict(document["topics"])
        for service in services["names"]:
            raw[retry_topic(service)] = services["retry"]
            raw[dead_letter_topic(service)] = services["dlq"]
        return {name: TopicSpec.model_validate({**defaults, **spec}) for name, spec in raw.items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValidationError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


async def apply_topics(kafka: KafkaClients, specs: dict[str, TopicSpec], *, replication: int = 1) -> Applied:
    """Creates missing topics and sets the configuration of the others. Idempotent; deletes nothing."""
    admin = kafka.admin()
    try:
        await kafka.start(admin)
        existing = set(await admin.list_topics())
        missing = [name for name in specs if name not in existing]
        if missing:
            await _create(admin, {name: specs[name] for name in missing}, replication)
        present = [name for name in specs if name in existing]
        changed = await _configure(admin, {name: specs[name] for name in present})
        differing = await _differing(admin, {name: specs[name] for name in present})
        return Applied(tuple(missing), tuple(changed), differing)
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, specs: dict[str, TopicSpec], replication: int) -> None:
    response = await admin.create_topics(
        [
            NewTopic(name, spec.partitions, replication, topic_configs=spec.config())
            for name, spec in specs.items()
        ]
    )
    for name, code, *detail in response.topic_errors:
        kind = for_code(code)
        if code and kind is not TopicAlreadyExistsError:
            raise ConfigurationError(f"topic {name} could not be created: {kind.__name__} {detail}")


async def _configure(admin: AIOKafkaAdminClient, specs: dict[str, TopicSpec]) -> list[str]:
    if not specs:
        return []
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, spec.config()) for name, spec in specs.items()]
    current: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(asked):
        for _code, _message, _type, name, entries in response.resources:
            current[name] = {entry[0]: entry[1] for entry in entries}
    changed = [
        name
        for name, spec in specs.items()
        if any(current.get(name, {}).get(key) != value for key, value in spec.config().items())
    ]
    if changed:
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name, specs[name].config()) for name in changed]
        )
    return changed


async def _differing(admin: AIOKafkaAdminClient, specs: dict[str, TopicSpec]) -> tuple[str, ...]:
    if not specs:
        return ()
    described = await admin.describe_topics(list(specs))
    return tuple(
        f"{topic['topic']}: {len(topic['partitions'])} partitions, declared {specs[topic['topic']].partitions}"
        for topic in described
        if len(topic["partitions"]) != specs[topic["topic"]].partitions
    )
