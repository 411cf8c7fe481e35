"""How a workload logs in: patches that give it its user and its secrets, as components of their own."""

from typing import Any, Final

import yaml

from deploy.k8s.manifests.jobs import JOBS
from deploy.k8s.manifests.objects import SECRETS_DIR, Object, secret_source
from deploy.k8s.manifests.workloads import WORKLOADS, Workload
from shared.settings.variables import variable_of

ALL: Final = (*WORKLOADS, *JOBS)
S3_SECRET: Final = "s3"  # noqa: S105 - the name of one
SOURCES: Final = "/spec/template/spec/volumes/0/projected/sources/-"
ENVIRONMENT: Final = "/spec/template/spec/containers/0/env/-"


def kafka_scram() -> Object:
    """SASL_SSL with SCRAM. The Secret of a user has the user's name, as Strimzi makes it, and the key `password`."""
    return _component(
        {"ONPOINT_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "ONPOINT_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"},
        [
            _patch(
                workload,
                secret_source(workload.kafka_user, {"password": "kafka_password"}),
                {
                    "ONPOINT_KAFKA_SASL_USERNAME": workload.kafka_user,
                    "ONPOINT_KAFKA_SASL_PASSWORD_FILE": f"{SECRETS_DIR}/kafka_password",
                },
            )
            for workload in ALL
            if workload.kafka_user is not None
        ]
        + [_connect_login()],
    )


def s3_keys() -> Object:
    """Keys for an object store that knows no roles: one Secret for all."""
    return _component(
        {},
        [
            _patch(
                workload,
                secret_source(S3_SECRET, {"credentials": "s3_credentials"}),
                {"ONPOINT_S3_CREDENTIALS_FILE": f"{SECRETS_DIR}/s3_credentials"},
            )
            for workload in ALL
            if workload.store
        ],
    )


def kafka_ca(secret: str) -> Object:
    """The CA of brokers that the system's certificates do not know."""
    return _component(
        {},
        [
            _patch(
                workload,
                secret_source(secret, {"ca.crt": "kafka_ca.pem"}),
                {variable_of("kafka_ssl_ca_file"): f"{SECRETS_DIR}/kafka_ca.pem"},
            )
            for workload in ALL
            if workload.kafka_user is not None
        ]
        + [_connect_ca(secret)],
    )


def _connect_login() -> Object:
    """Kafka Connect reads its login from a file by its provider `dir`. Its clients do not inherit the worker's settings."""
    login = {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "SASL_JAAS_CONFIG": "${dir:/run/secrets:kafka_jaas}",
    }
    variables = {
        f"CONNECT_{client}{name}": value
        for client in ("", "PRODUCER_", "CONSUMER_", "ADMIN_")
        for name, value in login.items()
    }
    source = secret_source("connect", {"sasl.jaas.config": "kafka_jaas"})
    return _patch_of("Deployment", "connect", source, variables)


def _connect_ca(secret: str) -> Object:
    variables = {
        f"CONNECT_{client}{name}": value
        for client in ("", "PRODUCER_", "CONSUMER_", "ADMIN_")
        for name, value in (
            ("SSL_TRUSTSTORE_TYPE", "PEM"),
            ("SSL_TRUSTSTORE_LOCATION", "/run/secrets/kafka_ca.pem"),
        )
    }
    return _patch_of("Deployment", "connect", secret_source(secret, {"ca.crt": "kafka_ca.pem"}), variables)


def _component(settings: dict[str, str], patches: list[Object]) -> Object:
    """A workload that the overlay does not have is passed over: Kustomize applies a patch to what its target selects."""
    found: Object = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    if settings:
        literals = [f"{name}={value}" for name, value in settings.items()]
        found["configMapGenerator"] = [
            {"name": "onpoint-settings", "behavior": "merge", "literals": literals}
        ]
    return found | {"patches": patches}


def _patch(workload: Workload, source: Object, variables: dict[str, str]) -> Object:
    return _patch_of("Job" if workload in JOBS else "Deployment", workload.name, source, variables)


def _patch_of(kind: str, name: str, source: Object, variables: dict[str, str]) -> Object:
    operations: list[dict[str, Any]] = [{"op": "add", "path": SOURCES, "value": source}]
    operations += [
        {"op": "add", "path": ENVIRONMENT, "value": {"name": variable, "value": value}}
        for variable, value in variables.items()
    ]
    return {
        "target": {"kind": kind, "name": name},
        "patch": yaml.safe_dump(operations, sort_keys=False),
    }
