from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class CdcSettings(Settings):
    cdc_object_target_bytes: Annotated[
        int,
        Field(
            ge=2**20,
            le=96 * 2**20,
            description="bytes at which an object of change capture is full; none is above twice of it",
        ),
    ] = 64 * 2**20
    cdc_max_age_s: Annotated[
        float,
        Field(
            ge=1, le=86_400, description="seconds after which changes are stored though their object is small"
        ),
    ] = 60.0
    cdc_buffer_bytes: Annotated[
        int,
        Field(
            ge=2**20,
            description="bytes of rows in memory that wait for their row group, of all tables together",
        ),
    ] = 64 * 2**20
