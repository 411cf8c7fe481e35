"""Where the Dask cluster is, how to connect to it, and what happens while it is away."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from shared.settings.model import Settings
from shared.settings.variables import variable_of

_SCHEMES = ("tcp", "tls")


class DaskSettings(Settings):
    """The order of the fields matters: a validator sees the fields above its own."""

    dask_scheduler_address: Annotated[
        str | None,
        Field(description="tcp:// or tls:// address of a Dask scheduler; absent: the processor works itself"),
    ] = None
    dask_tls_ca_file: Annotated[
        str | None,
        Field(validate_default=True, description="file of the CA of its certificates (PEM), for tls://"),
    ] = None
    dask_tls_cert_file: Annotated[
        str | None,
        Field(validate_default=True, description="file of this process's own certificate (PEM), for tls://"),
    ] = None
    dask_tls_key_file: Annotated[
        str | None,
        Field(validate_default=True, description="file of its private key (PEM), for tls://"),
    ] = None
    dask_fallback: Annotated[
        Literal["wait", "local"],
        Field(
            description="wait or local: whether batches wait while the cluster is away, or the processor works itself"
        ),
    ] = "wait"
    dask_batches: Annotated[
        int, Field(ge=1, le=64, description="batches that a processor has on the cluster at a time, at most")
    ] = 6
    dask_batch_limit_s: Annotated[
        int,
        Field(
            ge=5, le=500, description="seconds that a batch may take there, its wait for a worker included"
        ),
    ] = 300

    @property
    def dask_uses_tls(self) -> bool:
        return (self.dask_scheduler_address or "").startswith("tls://")

    @field_validator("dask_scheduler_address")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not _is_address(value):
            raise ValueError("must be an address such as tcp://scheduler.example.org:8786")
        return value

    @field_validator("dask_tls_ca_file", "dask_tls_cert_file", "dask_tls_key_file")
    @classmethod
    def _tls_is_whole(cls, value: str | None, info: ValidationInfo) -> str | None:
        address = info.data.get("dask_scheduler_address") or ""
        if address.startswith("tls://") != bool(value):
            variable = variable_of("dask_scheduler_address")
            raise ValueError(f"must be set where {variable} begins with tls://, and nowhere else")
        return value


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    is_bare = not (parts.path or parts.query or parts.fragment or parts.username or parts.password)
    return (
        parts.scheme in _SCHEMES
        and bool(parts.hostname)
        and bool(port)
        and is_bare
        and not re.search(r"\s", text)
    )
