"""Where Kafka is, and how to connect to it."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.settings.loopback import is_loopback
from shared.settings.model import Settings
from shared.settings.variables import variable_of

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


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
        Mechanism,
        Field(
            description="PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER; for SASL_PLAINTEXT and SASL_SSL"
        ),
    ] = "SCRAM-SHA-512"
    kafka_sasl_username: Annotated[
        str | None,
        Field(
            validate_default=True,
            description="user of that login, with OAUTHBEARER the client id; one for each service",
        ),
    ] = None
    kafka_sasl_password: Annotated[
        SecretStr | None,
        Field(
            validate_default=True,
            description="its password, with OAUTHBEARER the client secret, or its _FILE",
        ),
    ] = None
    kafka_sasl_password_file: Annotated[
        str | None,
        Field(
            description="file that has this password instead of the variable; with SCRAM it is read for each login"
        ),
    ] = None
    kafka_oauth_token_url: Annotated[
        str | None,
        Field(
            validate_default=True,
            description="https address that gives OAUTHBEARER its tokens, by the client-credentials grant",
        ),
    ] = None
    kafka_oauth_scope: Annotated[
        str | None, Field(description="scope that is asked for with them, where the server expects one")
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

    @field_validator("kafka_oauth_token_url")
    @classmethod
    def _tokens_come_from_a_safe_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        logs_in = info.data.get("kafka_security_protocol", "").startswith("SASL_")
        if value is None:
            if logs_in and info.data.get("kafka_sasl_mechanism") == "OAUTHBEARER":
                raise ValueError(f"must be set for {variable_of('kafka_sasl_mechanism')}=OAUTHBEARER")
        elif (fault := _fault_of(value)) is not None:
            raise ValueError(fault)
        return value

    @field_validator("kafka_ssl_key_file")
    @classmethod
    def _key_has_its_certificate(cls, value: str | None, info: ValidationInfo) -> str | None:
        if bool(value) != bool(info.data.get("kafka_ssl_cert_file")):
            raise ValueError(f"must be set together with {variable_of('kafka_ssl_cert_file')}")
        return value


def _fault_of(url: str) -> str | None:
    """What is wrong with the address of a token endpoint: the client's secret is sent there."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address"
    if not host or re.search(r"[\s\x00-\x1f]", url):
        return "is no address"
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "must have no user, password or fragment"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return None
    return "must begin with https://, or lead to this machine"
