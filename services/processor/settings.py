from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class ProcessorSettings(Settings):
    processor_workers: Annotated[
        int,
        Field(ge=1, le=16, description="batches processed at a time; one computes while another transfers"),
    ] = 2
