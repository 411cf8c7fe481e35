"""Settings that every service shares. Environment only, prefix `ONPOINT_`; secrets also as `<NAME>_FILE`.

A wrong or missing value stops the process at start (`load_settings`), never later.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)

from shared.errors import ConfigurationError
from shared.settings.dsn import ADVICE, is_whole

PREFIX = "ONPOINT_"


class Settings(BaseModel):
    """Base of every settings model: field `x_y` is read from `ONPOINT_X_Y`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


def _whole(dsn: SecretStr) -> SecretStr:
    if not is_whole(dsn.get_secret_value()):
        raise ValueError(ADVICE)
    return dsn


PostgresDsn = Annotated[SecretStr, AfterValidator(_whole)]

_S = TypeVar("_S", bound=Settings)


class KafkaSettings(Settings):
    kafka_bootstrap_servers: Annotated[
        str, Field(min_length=1, description="host:port of one or more brokers, comma-separated")
    ]
    kafka_session_timeout_ms: Annotated[
        int,
        Field(
            ge=6_000,
            le=300_000,
            description="milliseconds of silence after which the group gives up a consumer; its partitions wait meanwhile",
        ),
    ] = 10_000


class PostgresSettings(Settings):
    postgres_dsn: Annotated[PostgresDsn, Field(description="postgresql://user:password@host:port/database")]
    postgres_pool_size: Annotated[
        int, Field(ge=1, le=100, description="connections kept open per process")
    ] = 2
    postgres_pool_overflow: Annotated[
        int, Field(ge=0, le=100, description="connections more than that, opened when needed")
    ] = 2
    postgres_statement_timeout_s: Annotated[
        int, Field(ge=1, le=3600, description="seconds one statement may take, a whole COPY included")
    ] = 300


class ObjectStoreSettings(Settings):
    """Credentials come by the standard chain (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, or a role), or,
    where a secret is a file, as one setting: a key id and its secret are never of two ages.
    """

    s3_endpoint_url: Annotated[str | None, Field(description="URL of the S3 server; absent: AWS")] = None
    staging_bucket: Annotated[
        str, Field(min_length=3, max_length=63, description="bucket of batches in flight")
    ]
    lake_bucket: Annotated[str, Field(min_length=3, max_length=63, description="bucket of the data lake")]
    s3_credentials: Annotated[
        SecretStr | None,
        Field(description="access key id:secret access key; absent: AWS_* variables or a role"),
    ] = None

    @field_validator("s3_credentials")
    @classmethod
    def _is_a_pair(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not all(value.get_secret_value().partition(":")):
            raise ValueError("should be two keys with a colon between")
        return value

    def s3_keys(self) -> tuple[str, str] | None:
        """Access key id and secret access key; None: by the standard chain."""
        if self.s3_credentials is None:
            return None
        key_id, _, secret = self.s3_credentials.get_secret_value().partition(":")
        return key_id, secret


class DatasetSettings(Settings):
    datasets_dir: Annotated[Path | None, Field(description="folder of further dataset files")] = None


class ProcessSettings(Settings):
    http_host: Annotated[str, Field(description="address of /livez, /readyz and /metrics")] = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535, description="port of these; 0: any free one")] = 0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="least level logged")
    ] = "info"


def load_settings(model: type[_S], environment: Mapping[str, str] | None = None) -> _S:
    """The settings, with `<NAME>_FILE` variables read.

    Raises `ConfigurationError` that names every wrong variable and what it should be, and never a value.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, str] = {}
    for field in model.model_fields:
        variable = PREFIX + field.upper()
        if value := environment.get(variable):
            values[field] = value
        elif file := environment.get(f"{variable}_FILE"):
            values[field] = _read_secret(f"{variable}_FILE", Path(file))
    try:
        return model.model_validate({name: value for name, value in values.items() if value})
    except ValidationError as error:
        lines = [_complaint(model, item["loc"], item["msg"]) for item in error.errors(include_input=False)]
        raise ConfigurationError("\n".join(lines)) from error


def _read_secret(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable}: {path} cannot be read: {error}") from error


def _complaint(model: type[Settings], location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else ""
    field = model.model_fields.get(name)
    meaning = f" ({field.description})" if field is not None and field.description else ""
    return f"{PREFIX}{name.upper()}: {message}{meaning}"
