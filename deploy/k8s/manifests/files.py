"""Every derived file, by its path below deploy/k8s."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deploy.k8s.manifests import access, cluster, jobs, kafka, rules, scaling, services
from deploy.k8s.manifests.jobs import BUCKETS, MIGRATE, TOPICS
from deploy.k8s.manifests.objects import Object
from deploy.k8s.manifests.workloads import CAPTURE, CONSOLE, DASK_WORKER, LINEAGE, PIPELINE
from deploy.k8s.manifests.writing import HEADER, ROOT, text_of

CLUSTER_FILE: Final = "cluster.env"
ROLES_SQL: Final = Path(__file__).parents[2] / "compose" / "postgres" / "10-roles.sql"


def files() -> dict[str, str]:
    """The text of each. Reads the overlays' `cluster.env`, the topics, the rules.

    Raises `ConfigurationError` for one of them that cannot be used.
    """
    found = _folder(
        "base/services", {workload.name: services.objects_of(workload) for workload in PIPELINE}
    ) | _folder("base/jobs", {job.name: jobs.objects_of(job) for job in (MIGRATE, TOPICS)})
    for name, objects in _parts().items():
        found[f"components/{name}"] = text_of(objects)
    # What makes the roles of the database in containers makes them here.
    found["components/postgres/10-roles.sql"] = ROLES_SQL.read_text(encoding="utf-8")
    for path in sorted(ROOT.glob(f"overlays/*/{CLUSTER_FILE}")):
        found |= of_cluster(f"overlays/{path.parent.name}", path.read_text(encoding="utf-8"))
    return found


def of_cluster(overlay: str, text: str) -> dict[str, str]:
    """What follows from an overlay's `cluster.env`. Raises `ConfigurationError` that names its faults."""
    known = cluster.read(text, f"{overlay}/{CLUSTER_FILE}")
    return {
        f"{overlay}/cluster/settings.env": HEADER + cluster.settings(known),
        f"{overlay}/cluster/network.yaml": text_of(cluster.network(known)),
        f"{overlay}/cluster/secrets.yaml": text_of(cluster.secrets(known)),
        f"{overlay}/cluster/kustomization.yaml": text_of(
            [
                cluster.roles(known)
                | {
                    "resources": ["network.yaml", "secrets.yaml"],
                    "configMapGenerator": [
                        {"name": "onpoint-settings", "behavior": "merge", "envs": ["settings.env"]}
                    ],
                }
            ]
        ),
    }


def _parts() -> dict[str, list[Object]]:
    return {
        "buckets/buckets.yaml": jobs.objects_of(BUCKETS),
        "cdc/s3sink-cdc.yaml": services.objects_of(CAPTURE),
        "lineage/quality-lineage.yaml": services.objects_of(LINEAGE),
        "console/console.yaml": services.objects_of(CONSOLE),
        "dask/dask-worker.yaml": services.objects_of(DASK_WORKER),
        "dask/autoscaler.yaml": scaling.of_dask_workers(),
        "hpa/autoscalers.yaml": scaling.by_cpu_and_memory(),
        "keda/autoscalers.yaml": scaling.by_lag(),
        "kafka-scram/kustomization.yaml": [access.kafka_scram()],
        "kafka-strimzi-ca/kustomization.yaml": [access.kafka_ca(f"{kafka.CLUSTER}-cluster-ca-cert")],
        "kafka-strimzi/topics.yaml": kafka.topics(),
        "kafka-strimzi/users.yaml": kafka.kafka_users(),
        "observe/rules.yaml": rules.prometheus_rules(),
        "s3-keys/kustomization.yaml": [access.s3_keys()],
    }


def _folder(folder: str, objects: dict[str, list[Object]]) -> dict[str, str]:
    """A file for each entry, and the kustomization that lists them."""
    found = {f"{folder}/{name}.yaml": text_of(each) for name, each in objects.items()}
    return found | {
        f"{folder}/kustomization.yaml": text_of([kustomization(f"{name}.yaml" for name in objects)])
    }


def kustomization(resources: Iterable[str]) -> Object:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(resources),
    }
