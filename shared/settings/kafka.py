"""Where the bus is."""

from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class KafkaSettings(Settings):
    kafka_bootstrap_servers: Annotated[
        str, Field(min_length=1, description="host:port of one or more brokers, comma-separated")
    ]
    kafka_session_timeout_ms: Annotated[
        int,
        Field(
            ge=6_000,
            le=300_000,
            description="milliseconds of silence after which the group gives up a consumer; its partitions wait meanwhile",
        ),
    ] = 10_000
