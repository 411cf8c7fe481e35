"""A secret in the file of the channels is named, never written: it is in a variable or in a file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from shared.errors import ConfigurationError

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,100}$")]


class SecretReference(BaseModel):
    """`{env: NAME}`, which also reads the file that `NAME_FILE` names, or `{file: PATH}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: VariableName | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def names_one_place(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("write {env: NAME} or {file: PATH}")
        return self

    def read(self, environ: Mapping[str, str] | None = None) -> str:
        """Its value now, so that a file may be replaced while the process runs.

        Raises `ConfigurationError` that names the place and never the value.
        """
        environ = os.environ if environ is None else environ
        file = self.file
        if self.env is not None:
            if value := environ.get(self.env):
                return value
            named = environ.get(f"{self.env}_FILE")
            if not named:
                raise ConfigurationError(f"neither {self.env} nor {self.env}_FILE is set")
            file = Path(named)
        try:
            value = Path(file or "").read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file} cannot be read: {type(error).__name__}") from error
        if not value:
            raise ConfigurationError(f"{file} is empty")
        return value
