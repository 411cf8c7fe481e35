"""What the objects have in common: names, labels, the pod of a process."""

from collections.abc import Mapping
from typing import Any, Final

from deploy.k8s.manifests.workloads import AFTER_DRAIN_S, HTTP_PORT, Resources, Workload

Object = dict[str, Any]

NAME, COMPONENT, PART_OF = (f"app.kubernetes.io/{key}" for key in ("name", "component", "part-of"))
KAFKA, POSTGRES, STORE = (f"onpoint/{key}" for key in ("kafka", "postgres", "store"))
"""Labels of pods that may reach Kafka, PostgreSQL and the object store: an overlay's network policies select by them."""

CLIENT: Final = "client"
USER_ID: Final = 10001
"""Of the image."""

SECRETS_DIR: Final = "/run/secrets/onpoint"
DATASETS_DIR: Final = "/etc/onpoint/datasets"
PRE_STOP_S: Final = 5
"""Until the address of a pod that ends has left the Services."""

SCRATCH_GIB: Final = 2
"""Batches in work. On the node's disk: memory would count against the limit."""


def metadata(name: str, **labels: str) -> Object:
    return {"name": name, "labels": {NAME: name, COMPONENT: name, PART_OF: "onpoint"} | labels}


def selector(name: str) -> Object:
    return {"matchLabels": {NAME: name, PART_OF: "onpoint"}}


def service_account(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(name),
        # No process asks the API server for anything.
        "automountServiceAccountToken": False,
    }


def pod_labels(workload: Workload) -> dict[str, str]:
    uses = {KAFKA: workload.kafka_user is not None, POSTGRES: workload.postgres, STORE: workload.store}
    labels: dict[str, str] = metadata(workload.name)["labels"]
    return labels | {label: CLIENT for label, used in uses.items() if used}


def pod_security() -> Object:
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def resources(sizes: Resources) -> Object:
    return {
        "requests": {
            "cpu": f"{sizes.cpu_m}m",
            "memory": f"{sizes.memory_mib}Mi",
            "ephemeral-storage": "1Gi",
        },
        "limits": {
            "cpu": f"{sizes.cpu_limit_m}m",
            "memory": f"{sizes.memory_limit_mib}Mi",
            # The scratch folder, and logs that the node has not rotated yet.
            "ephemeral-storage": f"{SCRATCH_GIB + 1}Gi",
        },
    }


def secret_source(secret: str, items: Mapping[str, str]) -> Object:
    """Keys of a Secret as files of the secrets' folder: {key: file}."""
    files = [{"key": key, "path": path} for key, path in items.items()]
    return {"secret": {"name": secret, "items": files}}


def process_pod(workload: Workload, *, restart: str = "Always") -> Object:
    """The pod of a process of the image, without probes. Overlays add sources to its first volume, the secrets."""
    postgres = [secret_source(f"postgres-{workload.name}", {"dsn": "postgres_dsn"})]
    variables = [{"name": "ONPOINT_POSTGRES_DSN_FILE", "value": f"{SECRETS_DIR}/postgres_dsn"}]
    return {
        "serviceAccountName": workload.name,
        "automountServiceAccountToken": False,
        # Variables named for other Services would only be in the way.
        "enableServiceLinks": False,
        "restartPolicy": restart,
        "terminationGracePeriodSeconds": grace_s(workload),
        "securityContext": pod_security(),
        "volumes": [
            {
                "name": "secrets",
                "projected": {"defaultMode": 0o440, "sources": postgres if workload.postgres else []},
            },
            {"name": "scratch", "emptyDir": {"sizeLimit": f"{SCRATCH_GIB}Gi"}},
            {"name": "datasets", "configMap": {"name": "onpoint-datasets"}},
        ],
        "containers": [
            {
                "name": workload.name,
                "image": "onpoint",
                "imagePullPolicy": "IfNotPresent",
                "command": list(workload.command),
                "envFrom": [{"configMapRef": {"name": "onpoint-settings"}}],
                "env": variables if workload.postgres else [],
                "ports": [{"name": "http", "containerPort": HTTP_PORT}],
                "resources": resources(workload.resources),
                "securityContext": container_security(),
                "volumeMounts": [
                    {"name": "secrets", "mountPath": SECRETS_DIR, "readOnly": True},
                    {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108 - of a container of its own
                    {"name": "datasets", "mountPath": DATASETS_DIR, "readOnly": True},
                ],
            }
        ],
    }


def grace_s(workload: Workload) -> int:
    """Seconds from the order to end until the kill: the wait before it, the drain, and what follows."""
    return int((PRE_STOP_S if workload.serves_people else 0) + workload.drain_s + AFTER_DRAIN_S)
