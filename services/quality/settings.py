from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings
from shared.settings.object_store import Endpoint


class KafkaWatchSettings(Settings):
    kafka_watch_interval_s: Annotated[
        int,
        Field(
            ge=0,
            le=3600,
            description="seconds between two looks at the brokers and groups by quality; 0: none",
        ),
    ] = 15


class CloudWatchSettings(Settings):
    """Credentials and region come by AWS's standard chain."""

    cloudwatch_interval_s: Annotated[
        int,
        Field(
            ge=0,
            le=3600,
            description="seconds between two sendings of figures to CloudWatch by quality; 0: none",
        ),
    ] = 0
    cloudwatch_endpoint_url: Annotated[
        Endpoint | None, Field(description="URL of the CloudWatch server; absent: AWS")
    ] = None
