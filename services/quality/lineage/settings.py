"""Where lineage events go."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from shared.settings.model import Settings
from shared.settings.variables import variable_of

URL, TOPIC = "lineage_url", "lineage_topic"


class LineageSettings(Settings):
    lineage_url: Annotated[
        str | None,
        Field(
            description="address that takes OpenLineage events by POST, such as http://marquez:5000/api/v1/lineage"
        ),
    ] = None
    lineage_api_key: Annotated[
        SecretStr | None, Field(description="bearer token for that address, or its _FILE; absent: none")
    ] = None
    lineage_topic: Annotated[
        str | None,
        Field(
            max_length=249,
            pattern=r"^[A-Za-z0-9._-]+$",
            description="topic of the bus that takes them instead; it must exist",
        ),
    ] = None
    lineage_namespace: Annotated[
        str, Field(min_length=1, max_length=255, description="namespace of the jobs in the events")
    ] = "onpoint"

    @field_validator("lineage_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in {"http", "https"}:
            raise ValueError("must begin with http:// or https:// and name a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"must have no user or password: set {variable_of('lineage_api_key')}")
        return value

    @model_validator(mode="after")
    def _there_is_one_receiver(self) -> Self:
        if (self.lineage_url is None) == (self.lineage_topic is None):
            raise ValueError(f"set {variable_of(URL)} or {variable_of(TOPIC)}, one of them")
        return self
