"""An overlay in the simulated cluster: applied, looked at, removed."""

import json
import os
import subprocess
import sys
from typing import Any, Final

from deploy.local.waiting import wait_for
from tests.deploy.autoscalers import of_scaled_object
from tests.deploy.cluster.api import Object, described, of_kind
from tests.deploy.cluster.simulated import SimulatedCluster
from tests.deploy.environment import ROOT
from tests.deploy.rendered import local_secrets, rendered, text_of

READY_WITHIN_S: Final = 120
GONE_WITHIN_S: Final = 120


class Deployment:
    """One overlay at a time."""

    def __init__(self, cluster: SimulatedCluster, overlay: str) -> None:
        self.cluster = cluster
        self.overlay = overlay
        self.objects = rendered(overlay)
        self.output = ""
        """Of the first `kubectl apply`."""

    def apply(self) -> str:
        """`kubectl apply --server-side` of the whole overlay, and what KEDA would make of it; kubectl's output."""
        code, output = self.cluster.kubectl.run(
            "apply", "--server-side", "--force-conflicts", "-f", "-", given=text_of(self.overlay)
        )
        assert code == 0, output
        self.output = self.output or output
        for autoscaler in self._of_keda():
            answer = self.cluster.api.apply(autoscaler)
            assert answer.accepted, answer.message
        return output

    def roll_out(self) -> str:
        """`python -m deploy.k8s.rollout`, as the documentation has it; its output. Secrets are made first."""
        code, output = self.cluster.kubectl.run("apply", "-f", "-", given=json.dumps(local_secrets()))
        assert code == 0, output
        done = subprocess.run(
            (sys.executable, "-m", "deploy.k8s.rollout", self.overlay, "--timeout", str(READY_WITHIN_S)),
            cwd=ROOT,
            env={**os.environ, **self.cluster.kubectl.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{self._warnings()}"
        return done.stdout

    def remove(self) -> None:
        """Its namespaces with all they hold, and what has no namespace."""
        code, output = self.cluster.kubectl.run(
            "delete", "--ignore-not-found", "--wait=false", "-f", "-", given=text_of(self.overlay)
        )
        assert code == 0, output
        spaces = [described(space) for space in of_kind(self.objects, "Namespace")]
        wait_for(
            lambda: not any(self._is_there(space) for space in of_kind(self.objects, "Namespace")),
            timeout_s=GONE_WITHIN_S,
            what=f"{spaces} to be gone",
        )

    @property
    def namespace(self) -> str:
        """Where the six services are."""
        (found,) = {
            each["metadata"]["namespace"] for each in self.of_kind("Deployment") if _name(each) == "crawler"
        }
        return str(found)

    def of_kind(self, *kinds: str) -> list[Object]:
        return list(of_kind(self.objects, *kinds))

    def path(self, group: str, resource: str) -> str:
        """Of one of its namespace's lists: `apps/v1`, `deployments`."""
        return f"/{group}/namespaces/{self.namespace}/{resource}"

    def find(self, wanted: Object) -> dict[str, Any]:
        """The object as the cluster has it."""
        return self.cluster.api.read(self.cluster.api.path_of(wanted))

    def settle(self) -> None:
        """Until every Deployment and StatefulSet has its replicas ready and every Job is complete."""
        late: list[str] = []

        def is_settled() -> bool:
            wanted = [*self.of_kind(*IS_SETTLED), *self._of_keda()]
            late[:] = [described(each) for each in wanted if not self._is_settled(each)]
            return not late

        try:
            wait_for(is_settled, timeout_s=READY_WITHIN_S, what="the overlay")
        except Exception as error:
            raise AssertionError(f"not ready: {late}; {self._warnings()}") from error

    def _of_keda(self) -> list[Object]:
        return [of_scaled_object(each) for each in self.of_kind("ScaledObject")]

    def _is_settled(self, wanted: Object) -> bool:
        found = self.find(wanted)
        return bool(IS_SETTLED[wanted["kind"]](found["spec"], found.get("status") or {}))

    def _is_there(self, wanted: Object) -> bool:
        return self.cluster.api.ask("GET", self.cluster.api.path_of(wanted)).accepted

    def _warnings(self) -> list[str]:
        """What the controllers say that went wrong."""
        events = self.cluster.api.items(f"/api/v1/namespaces/{self.namespace}/events")
        return sorted({event["message"] for event in events if event["type"] == "Warning"})[:10]


def _has_replicas(spec: Object, status: Object) -> bool:
    wanted = spec.get("replicas", 1)
    counts = [
        status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    ]
    return counts == [wanted] * len(counts)


def _is_complete(spec: Object, status: Object) -> bool:
    return int(status.get("succeeded", 0)) == int(spec.get("completions", 1))


def _is_in_bounds(spec: Object, status: Object) -> bool:
    return (
        int(spec["minReplicas"])
        <= int(status.get("currentReplicas", 0))
        == int(status.get("desiredReplicas", -1))
    )


IS_SETTLED: Final = {
    "Deployment": _has_replicas,
    "StatefulSet": _has_replicas,
    "Job": _is_complete,
    "HorizontalPodAutoscaler": _is_in_bounds,
}


def _name(found: Object) -> str:
    return str(found["metadata"]["name"])
