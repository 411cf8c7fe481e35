from typing import Annotated

from pydantic import AfterValidator, Field

from shared.health.targets import parse_targets
from shared.settings.model import Settings


def _readable(value: str) -> str:
    parse_targets(value)
    return value


class HealthSettings(Settings):
    health_interval_s: Annotated[
        int, Field(ge=5, le=86_400, description="seconds between two measurements of the pipeline's health")
    ] = 900
    health_services: Annotated[
        str,
        AfterValidator(_readable),
        Field(
            description="where the services answer to /metrics: name=http://host:port, comma-separated; a name that has "
            "several addresses stands for a service in each"
        ),
    ] = ""
    health_active_connections: Annotated[
        int,
        Field(
            ge=1, le=10_000, description="statements in work in the database from which on it is a warning"
        ),
    ] = 50
    health_answer_s: Annotated[
        float, Field(gt=0, le=60, description="seconds in which the database has to answer")
    ] = 5.0
    health_latency_p95_s: Annotated[
        float,
        Field(
            gt=0,
            le=86_400,
            description="seconds that a stage may take for 95 of 100 batches, the wait included",
        ),
    ] = 600.0
    health_stalled_s: Annotated[
        float,
        Field(gt=0, le=604_800, description="seconds that batches may wait while no stage has any result"),
    ] = 1800.0
    health_error_ratio: Annotated[
        float,
        Field(gt=0, le=1, description="share of dead batches of the last hour; failed at five times of it"),
    ] = 0.05
    health_used_ratio: Annotated[
        float, Field(gt=0, le=1, description="share of CPU, memory or disk from which on it is a warning")
    ] = 0.9
