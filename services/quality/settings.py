from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class KafkaWatchSettings(Settings):
    kafka_watch_interval_s: Annotated[
        int, Field(ge=0, le=3600, description="seconds between two looks at the brokers and groups by quality; 0: none")
    ] = 15
