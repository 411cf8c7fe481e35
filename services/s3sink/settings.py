from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.settings.model import Settings


class SinkSettings(Settings):
    s3sink_object_target_bytes: Annotated[
        int, Field(ge=2**20, description="bytes at which an object of the lake is full enough")
    ] = 64 * 2**20
    s3sink_object_target_rows: Annotated[
        int,
        Field(
            ge=1_000, description="rows at which an object of the lake is full enough, however small it is"
        ),
    ] = 500_000
    s3sink_object_max_bytes: Annotated[
        int, Field(ge=2**20, description="bytes that an object should not exceed")
    ] = 128 * 2**20
    s3sink_max_age_s: Annotated[
        float,
        Field(
            ge=0.1, le=86_400, description="seconds after which a batch is stored though its object is small"
        ),
    ] = 60.0
    s3sink_writers: Annotated[
        int, Field(ge=1, le=16, description="objects written at once; each needs a PostgreSQL connection")
    ] = 2

    @model_validator(mode="after")
    def target_is_not_above_the_maximum(self) -> Self:
        if self.s3sink_object_target_bytes > self.s3sink_object_max_bytes:
            raise ValueError(
                "ONPOINT_S3SINK_OBJECT_TARGET_BYTES must not be above ONPOINT_S3SINK_OBJECT_MAX_BYTES"
            )
        return self
