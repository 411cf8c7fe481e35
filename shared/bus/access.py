"""One sentence for each way in which a broker refuses a client."""

import ssl

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from shared.settings.kafka import KafkaSettings
from shared.settings.variables import variable_of

DENIED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
"""The user is known and has no permission."""


def why_refused(error: BaseException, server: str, settings: KafkaSettings) -> str | None:
    """None for an error that is not about this client: the broker may be unavailable."""
    if isinstance(error, ssl.SSLCertVerificationError):
        ca = settings.kafka_ssl_ca_file or "the system's CA certificates"
        return (
            f"Kafka at {server}: its certificate does not pass: {error.verify_message} "
            f"({variable_of('kafka_ssl_ca_file')}: {ca})"
        )
    if isinstance(error, ssl.SSLError):
        protocol = settings.kafka_security_protocol
        return (
            f"Kafka at {server} refuses TLS: {error.reason or error} "
            f"({variable_of('kafka_security_protocol')}={protocol})"
        )
    if isinstance(error, SaslAuthenticationFailed | AuthenticationFailedError):
        return (
            f"Kafka at {server} refuses the user {settings.kafka_sasl_username!r}: "
            f"check {variable_of('kafka_sasl_username')} and {variable_of('kafka_sasl_password')}"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return (
            f"Kafka at {server} does not offer {variable_of('kafka_sasl_mechanism')}="
            f"{settings.kafka_sasl_mechanism}"
        )
    return None


def what_is_denied(error: KafkaError, user: str | None) -> str:
    """For one of `DENIED`."""
    if isinstance(error, ClusterAuthorizationFailedError):
        what = "to publish: it may write to no topic"  # what a producer needs of the cluster comes with any topic
    else:
        kind = "topics" if isinstance(error, TopicAuthorizationFailedError) else "consumer group"
        what = f"the {kind} {', '.join(_names(part) for part in error.args)}"
    who = f"user {user!r}" if user else "client"
    return f"Kafka denies the {who} {what}; docs/security.md lists the ACLs"


def _names(part: object) -> str:
    return ", ".join(sorted(part)) if isinstance(part, set | frozenset | list) else str(part)
