from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class NewsSettings(Settings):
    news_file: Annotated[
        Path | None, Field(description="file of the channels and routes of news; absent: nothing is sent")
    ] = None
