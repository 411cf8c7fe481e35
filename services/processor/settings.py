from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class ProcessorSettings(Settings):
    processor_workers: Annotated[
        int,
        Field(ge=1, le=16, description="batches processed at a time; one computes while another transfers"),
    ] = 2
    transform_memory_mib: Annotated[
        int, Field(ge=64, le=65_536, description="MiB that each step of a transform may use")
    ] = 1024
    transform_timeout_s: Annotated[
        float, Field(gt=0, le=3_600, description="time that the transform of one batch may take")
    ] = 60
