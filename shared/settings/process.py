"""Where a service answers to probes and metrics, and how much it logs."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from shared.settings.model import Settings


class ProcessSettings(Settings):
    http_host: Annotated[str, Field(description="address of /livez, /readyz and /metrics")] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535, description="port of these; 0: any free one")] = 0
    control_token: Annotated[
        SecretStr | None,
        Field(
            min_length=32,
            description="bearer token that lets another machine resume the service, or its _FILE; unset: none may",
        ),
    ] = None
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="least level logged")
    ] = "info"
