from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class LoaderSettings(Settings):
    loader_workers: Annotated[
        int,
        Field(
            ge=1, le=16, description="batches loaded at once by a process; each needs a PostgreSQL connection"
        ),
    ] = 2
