from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class ConverterSettings(Settings):
    converter_workers: Annotated[
        int,
        Field(ge=1, le=16, description="batches converted at a time; one computes while another transfers"),
    ] = 2
