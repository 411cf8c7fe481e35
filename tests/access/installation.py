"""The pipeline on a broker with TLS, passwords and ACLs, each process as a user of its own."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shared.bus.topic_admin import TopicSpec, apply_topics
from tests.support.operator import CommandResult, Operator
from tests.support.secure_kafka import ADMIN, SecureKafka

SPEC = TopicSpec(partitions=1, retention_hours=1, max_message_bytes=1_000_000)


@dataclass
class Installation:
    broker: SecureKafka
    elsewhere: Mapping[str, str] = field(repr=False)
    """The settings of what is not Kafka."""

    def environment(self, user: str) -> dict[str, str]:
        return {**self.elsewhere, **self.broker.environment(user)}

    async def onpoint(
        self, user: str, *words: str, more: Mapping[str, str] | None = None, within_s: float = 180
    ) -> CommandResult:
        """The command line as that user, with more settings."""
        return await Operator({**self.environment(user), **(more or {})}).run(*words, within_s=within_s)

    async def make_topics(self, names: Collection[str]) -> None:
        await apply_topics(self.broker.clients(ADMIN), dict.fromkeys(names, SPEC))
