"""The Jobs that run before the services: tables, topics, buckets. Each is idempotent, and may run beside services."""

from typing import Final

from deploy.k8s.manifests.network import policy
from deploy.k8s.manifests.objects import (
    Object,
    metadata,
    pod_labels,
    process_pod,
    selector,
    service_account,
)
from deploy.k8s.manifests.workloads import Resources, Workload

PREPARES: Final = "prepare"
PHASE: Final = "onpoint/phase"
"""Label of what has to be complete before the services are rolled out."""

SMALL: Final = Resources(100, 256, memory_limit_mib=512)

MIGRATE: Final = Workload(
    "migrate", ("onpoint", "migrate", "--warn-only"), SMALL, postgres=True, replicas=1, drain_s=0
)
TOPICS: Final = Workload(
    "topics",
    (
        "onpoint",
        "topics",
        "apply",
        "--replication",
        "$(TOPIC_REPLICATION)",
        "--partitions",
        "$(TOPIC_PARTITIONS)",
    ),
    SMALL,
    kafka_user="topics",
    replicas=1,
    drain_s=0,
)
BUCKETS: Final = Workload(
    "buckets", ("python", "-m", "deploy.compose.buckets"), SMALL, store=True, replicas=1, drain_s=0
)
JOBS: Final = (MIGRATE, TOPICS, BUCKETS)

DEADLINE_S: Final = 900


def objects_of(job: Workload) -> list[Object]:
    return [service_account(job.name), _job(job), policy(job.name, selector(job.name), [], [])]


def _job(job: Workload) -> Object:
    pod = process_pod(job, restart="OnFailure")
    del pod["containers"][0]["ports"]
    described = metadata(job.name, **{PHASE: PREPARES})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": described,
        "spec": {
            # What it needs may come up later than it: it tries again, with growing pauses.
            "backoffLimit": 10,
            "activeDeadlineSeconds": DEADLINE_S,
            "ttlSecondsAfterFinished": 86_400,
            "template": {"metadata": {"labels": pod_labels(job)}, "spec": pod},
        },
    }
