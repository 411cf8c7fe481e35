"""One sentence for each way in which a broker refuses a client."""

import ssl

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from shared.bus.tokens import TokenRefusedError
from shared.events.access import Operation
from shared.settings.kafka import KafkaSettings
from shared.settings.variables import variable_of

DENIED = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
"""The user is known and has no permission."""

ALERTS_ON_CERTIFICATES = (
    "ALERT_CERTIFICATE",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_UNKNOWN_CA",
)
"""How OpenSSL calls what a broker sends that refuses a client's certificate, or asks for one."""


def why_refused(error: BaseException, server: str, settings: KafkaSettings) -> str | None:
    """None for an error that is not about this client: the broker may be unavailable."""
    if isinstance(error, KafkaConnectionError) and isinstance(error.__cause__, ssl.SSLError):
        # With TLS 1.3 a broker refuses the client's certificate when its side of the handshake is over.
        error = error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        ca = settings.kafka_ssl_ca_file or "the system's CA certificates"
        return (
            f"Kafka at {server}: its certificate does not pass: {error.verify_message} "
            f"({variable_of('kafka_ssl_ca_file')}: {ca})"
        )
    if isinstance(error, ssl.SSLError):
        return _why_tls_fails(error, server, settings)
    return _why_login_fails(error, server, settings)


def _why_login_fails(error: BaseException, server: str, settings: KafkaSettings) -> str | None:
    if isinstance(error, TokenRefusedError):
        return str(error)
    user, mechanism = settings.kafka_sasl_username, settings.kafka_sasl_mechanism
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"Kafka at {server} does not offer {variable_of('kafka_sasl_mechanism')}={mechanism}"
    if not isinstance(error, SaslAuthenticationFailed | AuthenticationFailedError):
        return None
    if mechanism == "OAUTHBEARER":
        names = f"{variable_of('kafka_oauth_token_url')}, {variable_of('kafka_oauth_scope')}"
        return f"Kafka at {server} does not take the token of the client {user!r}: check its issuer and audience ({names})"
    names = f"{variable_of('kafka_sasl_username')} and {variable_of('kafka_sasl_password')}"
    return f"Kafka at {server} refuses the user {user!r}: check {names}"


def _why_tls_fails(error: ssl.SSLError, server: str, settings: KafkaSettings) -> str:
    """A broker tells by an alert what it has against the client's certificate."""
    reason = error.reason or str(error)
    certificate = settings.kafka_ssl_cert_file
    if not any(word in reason for word in ALERTS_ON_CERTIFICATES):
        protocol = settings.kafka_security_protocol
        return (
            f"Kafka at {server} refuses TLS: {reason} ({variable_of('kafka_security_protocol')}={protocol})"
        )
    if certificate is None:
        names = f"{variable_of('kafka_ssl_cert_file')} and {variable_of('kafka_ssl_key_file')}"
        return f"Kafka at {server} asks for a client certificate: set {names}"
    return (
        f"Kafka at {server} does not take the client certificate: {reason} "
        f"({variable_of('kafka_ssl_cert_file')}: {certificate})"
    )


def what_is_denied(error: KafkaError, operation: Operation, settings: KafkaSettings) -> str:
    """For one of `DENIED`. `operation`: what was tried with a topic; a group is only read."""
    names = ", ".join(_names(part) for part in error.args)
    if isinstance(error, ClusterAuthorizationFailedError):
        what = "to publish: it may write to no topic"  # what a producer needs of the cluster comes with any topic
    elif isinstance(error, TopicAuthorizationFailedError):
        what = f"{operation} on the topics {names}"
    elif isinstance(error, GroupAuthorizationFailedError):
        what = f"Read on the consumer group {names}"
    else:
        what = f"Write on the transactional id {names}"
    return f"Kafka denies the {who(settings)} {what}; `onpoint access show` lists the rights of each user"


def who(settings: KafkaSettings) -> str:
    """How people know this client: its user, or its certificate."""
    if settings.kafka_uses_sasl:
        return f"user {settings.kafka_sasl_username!r}"
    if settings.kafka_uses_tls and settings.kafka_ssl_cert_file:
        return f"client with the certificate {settings.kafka_ssl_cert_file}"
    return "client"


def _names(part: object) -> str:
    return ", ".join(sorted(part)) if isinstance(part, set | frozenset | list) else str(part)
