"""Where Kafka is, and how to connect to it."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.settings.model import Settings
from shared.settings.variables import variable_of

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaSettings(Settings):
    """The order of the fields matters: a validator sees the fields above its own."""

    kafka_bootstrap_servers: Annotated[
        str, Field(min_length=1, description="host:port of one or more brokers, comma-separated")
    ]
    kafka_session_timeout_ms: Annotated[
        int,
        Field(
            ge=6_000,
            le=300_000,
            description="milliseconds of silence after which the group removes a consumer; its partitions wait meanwhile",
        ),
    ] = 10_000
    kafka_security_protocol: Annotated[
        Protocol,
        Field(description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL: whether there is TLS and a login"),
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Mechanism, Field(description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; for SASL_PLAINTEXT and SASL_SSL")
    ] = "SCRAM-SHA-512"
    kafka_sasl_username: Annotated[
        str | None, Field(validate_default=True, description="user of that login; one for each service")
    ] = None
    kafka_sasl_password: Annotated[
        SecretStr | None, Field(validate_default=True, description="its password, or its _FILE")
    ] = None
    kafka_ssl_ca_file: Annotated[
        str | None, Field(description="file of the brokers' CA certificates (PEM); absent: the system's")
    ] = None
    kafka_ssl_cert_file: Annotated[
        str | None, Field(description="file of the client certificate (PEM), for brokers that ask for one")
    ] = None
    kafka_ssl_key_file: Annotated[
        str | None,
        Field(validate_default=True, description="file of its private key (PEM, without password)"),
    ] = None

    @property
    def kafka_uses_sasl(self) -> bool:
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def kafka_uses_tls(self) -> bool:
        return self.kafka_security_protocol.endswith("SSL")

    @field_validator("kafka_sasl_username", "kafka_sasl_password")
    @classmethod
    def _login_is_complete(
        cls, value: str | SecretStr | None, info: ValidationInfo
    ) -> str | SecretStr | None:
        protocol = info.data.get("kafka_security_protocol", "")
        if protocol.startswith("SASL_") and not value:
            raise ValueError(f"must be set for {variable_of('kafka_security_protocol')}={protocol}")
        return value

    @field_validator("kafka_ssl_key_file")
    @classmethod
    def _key_has_its_certificate(cls, value: str | None, info: ValidationInfo) -> str | None:
        if bool(value) != bool(info.data.get("kafka_ssl_cert_file")):
            raise ValueError(f"must be set together with {variable_of('kafka_ssl_cert_file')}")
        return value
