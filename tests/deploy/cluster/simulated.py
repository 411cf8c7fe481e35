"""A cluster of Kubernetes' own control plane and of nodes that only exist as objects: pods become ready and never run."""

import os
import secrets
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.local.ports import HOST, free_port
from deploy.local.waiting import wait_for
from tests.deploy.cluster.adapter import Adapter
from tests.deploy.cluster.api import Access, Api
from tests.deploy.cluster.crds import definitions, read_definitions
from tests.deploy.cluster.kubectl import Kubectl, write_kubeconfig
from tests.deploy.cluster.programs import control_plane
from tests.deploy.cluster.stages import write_stages
from tests.support.certificates import make_certificates

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 10
NODES = 6
ZONES = ("a", "b", "c")
VOLUMES = 16
NODE_ROOM = {"cpu": "32", "memory": "128Gi", "ephemeral-storage": "500Gi", "pods": "110"}


class SimulatedCluster:
    """etcd, API server, controller manager, scheduler, kwok and the metrics adapter on loopback; a context manager.

    About 1.1 GB of memory. Every process is stopped by its own handle. Nodes lie in three zones.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs = control_plane(os.environ, print)
        self._definitions = definitions(os.environ, print)
        self._certificates = make_certificates(folder / "certificates", HOST)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._etcd = free_port()
        self._etcd_peer = free_port((self._etcd,))
        port = free_port((self._etcd, self._etcd_peer))
        self._kwok = free_port((self._etcd, self._etcd_peer, port))
        access = Access(port, self._certificates.ca, secrets.token_urlsafe(32))
        self.api = Api(access)
        self.kubectl = Kubectl(write_kubeconfig(folder / "kubeconfig", access))
        broker = folder / "certificates"
        self._certificate, self._key = broker / "broker.pem", broker / "broker.key"
        self._access = access
        self._adapter: Adapter | None = None

    @property
    def adapter(self) -> Adapter:
        assert self._adapter is not None
        return self._adapter

    def __enter__(self) -> Self:
        try:
            self._start_etcd()
            self._start_api_server()
            wait_for(
                self._is_ready, timeout_s=START_TIMEOUT_S, what=f"the API server (log in {self._folder})"
            )
            self._start_the_rest()
            self._define()
            self._add_nodes()
            self._adapter = Adapter(self._access, self._certificate, self._key)
            self._adapter.start()
            wait_for(self._nodes_are_ready, timeout_s=START_TIMEOUT_S, what="nodes to be ready")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self, name: str, *options: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    (self._programs / name, *options),
                    cwd=self._folder,
                    env={"HOME": str(self._folder), "PATH": os.environ["PATH"]},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def _start_etcd(self) -> None:
        client, peer = f"http://{HOST}:{self._etcd}", f"http://{HOST}:{self._etcd_peer}"
        self._start(
            "etcd",
            "--data-dir=etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
        )

    def _start_api_server(self) -> None:
        tokens = self._folder / "tokens.csv"
        tokens.touch(0o600)
        tokens.write_text(f"{self._access.token},tests,1,system:masters\n")
        self._start(
            "kube-apiserver",
            f"--etcd-servers=http://{HOST}:{self._etcd}",
            f"--bind-address={HOST}",
            f"--advertise-address={HOST}",
            f"--secure-port={self._access.port}",
            f"--tls-cert-file={self._certificate}",
            f"--tls-private-key-file={self._key}",
            "--cert-dir=apiserver",
            f"--service-account-key-file={self._key}",
            f"--service-account-signing-key-file={self._key}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            # There is no other node to reach it from.
            "--endpoint-reconciler-type=none",
        )

    def _start_the_rest(self) -> None:
        kubeconfig = f"--kubeconfig={self.kubectl.kubeconfig}"
        self._start(
            "kube-controller-manager",
            kubeconfig,
            f"--service-account-private-key-file={self._key}",
            f"--root-ca-file={self._certificates.ca}",
            "--leader-elect=false",
            "--secure-port=0",
            # Simulated nodes send no heartbeats.
            "--node-monitor-grace-period=24h",
            # Autoscalers look once a second, and trust a pod's figures from the start: tests scale their windows too.
            "--horizontal-pod-autoscaler-sync-period=1s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
        )
        self._start("kube-scheduler", kubeconfig, "--leader-elect=false", "--secure-port=0")
        self._start(
            "kwok",
            kubeconfig,
            "--manage-all-nodes=true",
            "--cidr=10.0.0.1/24",
            "--node-ip=10.0.0.1",
            f"--server-address={HOST}:{self._kwok}",
            f"--config={write_stages(self._folder / 'stages.yaml')}",
        )

    def _define(self) -> None:
        """Every custom resource; returns when all are served."""
        names = []
        for definition in read_definitions(self._definitions):
            answer = self.api.apply(definition)
            assert answer.accepted, f"{definition['metadata']['name']}: {answer.message}"
            names.append(definition["metadata"]["name"])
        wait_for(
            lambda: all(self._is_established(name) for name in names),
            timeout_s=START_TIMEOUT_S,
            what="custom resources to be served",
        )

    def _add_nodes(self) -> None:
        for number in range(NODES):
            answer = self.api.apply(_node(f"node-{number}", ZONES[number % len(ZONES)]))
            assert answer.accepted, answer.message
        for number in range(VOLUMES):
            answer = self.api.apply(_volume(f"volume-{number}"))
            assert answer.accepted, answer.message

    def _nodes_are_ready(self) -> bool:
        """Until then the nodes have a taint that keeps pods away."""
        return all(not node["spec"].get("taints") for node in self.api.items("/api/v1/nodes"))

    def _is_established(self, name: str) -> bool:
        found = self.api.read(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
        return _has(found, "Established")

    def _is_ready(self) -> bool:
        for process in self._processes:
            assert process.poll() is None, f"{process.args!r} ended: its log is in {self._folder}"
        with suppress(OSError):
            return self.api.ask("GET", "/readyz").accepted
        return False

    def _stop(self) -> None:
        """The API server before its etcd, so that it need not wait for it."""
        if self._adapter is not None:
            self._adapter.stop()
        self.api.close()
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_TIMEOUT_S)


def _has(found: dict[str, Any], condition: str) -> bool:
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def _volume(name: str) -> dict[str, Any]:
    """Room that a claim of any size takes: there is no program that would make it when it is asked for."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Ti"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": f"/nowhere/{name}"},
        },
    }


def _node(name: str, zone: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": zone,
                "kubernetes.io/os": "linux",
            },
        },
        "status": {"allocatable": NODE_ROOM, "capacity": NODE_ROOM},
    }
