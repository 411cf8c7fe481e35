"""Where the dataset files of this installation are."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class DatasetSettings(Settings):
    datasets_dir: Annotated[Path | None, Field(description="folder of further dataset files")] = None
