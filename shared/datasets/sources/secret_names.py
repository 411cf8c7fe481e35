"""Where a secret is: a variable of the crawler's environment, or a mounted file. A file never holds the secret itself."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Word

OWN_PREFIXES = ("ONPOINT_", "AWS_", "PG")
"""Variables of the pipeline itself, which no source may be sent."""


def check_variable(name: str) -> str:
    """Raises `FaultError` for a variable that is the pipeline's own."""
    if name.startswith(OWN_PREFIXES):
        raise FaultError(
            f"{name} is a variable of the pipeline itself: give the source's own value another name"
        )
    return name


class Secret(Model):
    """Exactly one of the two."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,127}$")] | None = None
    """The name of a variable."""
    file: Annotated[Word, Field(examples=["/run/secrets/shop_token"])] | None = None
    """An absolute path. It is read anew for each use, and a line end at its end is dropped."""

    @field_validator("env")
    @classmethod
    def variable_is_of_the_source(cls, value: str | None) -> str | None:
        return value if value is None else check_variable(value)

    @field_validator("file")
    @classmethod
    def file_is_absolute(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith("/") or ".." in value.split("/")):
            raise FaultError(f"{value!r} must be an absolute path, as in /run/secrets/shop_token")
        return value

    def __str__(self) -> str:
        return f"the variable {self.env}" if self.env else f"the file {self.file}"


def _no_text(value: Any) -> Any:
    if isinstance(value, str):
        raise PydanticCustomError(
            "secret_as_text",
            "a secret never stands in a file: write {env: NAME} or {file: /run/secrets/name}",
        )
    if isinstance(value, dict) and ("env" in value) == ("file" in value):
        raise PydanticCustomError("secret_place", "write either {env: NAME} or {file: /run/secrets/name}")
    return value


SecretRef = Annotated[Secret, BeforeValidator(_no_text)]
