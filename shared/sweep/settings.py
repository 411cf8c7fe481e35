from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class SweepSettings(Settings):
    staging_ttl_hours: Annotated[
        int, Field(ge=0, le=87_600, description="hours that a run's artifacts stay in staging after its end")
    ] = 168
    sweep_interval_s: Annotated[
        int, Field(ge=0, le=604_800, description="seconds between two sweeps by quality; 0: none")
    ] = 3600
