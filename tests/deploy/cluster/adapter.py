"""The figures by which autoscalers decide: use of CPU and memory as by metrics-server, and KEDA's external metrics."""

import json
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from deploy.local.ports import HOST
from tests.deploy.cluster.api import Access, Api, Object
from tests.deploy.cluster.quantities import quantity

USE: Final = "metrics.k8s.io/v1beta1"
EXTERNAL: Final = "external.metrics.k8s.io/v1beta1"
KINDS: Final = {
    USE: ("pods", "PodMetrics", ["get", "list"]),
    EXTERNAL: ("externalmetrics", "ExternalMetricValueList", ["get"]),
}
NAMESPACE: Final = "metrics"


class Adapter:
    """Says what a test sets. Work is counted in pods: two pods that share 1.0 of it use half of what each requests."""

    def __init__(self, access: Access, certificate: Path, key: Path) -> None:
        self._api = Api(access)
        self._work: dict[tuple[str, str], tuple[float, float]] = {}
        self._external: dict[tuple[str, str], float] = {}
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer((HOST, 0), _handler_of(self))
        self._server.socket = tls.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        """Listens, and tells the API server which groups it answers for."""
        self._thread.start()
        for registered in self._registrations():
            answer = self._api.apply(registered)
            assert answer.accepted, answer.message

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._api.close()

    def set_work(self, namespace: str, component: str, *, cpu: float, memory: float = 0.1) -> None:
        """The work of all pods of a component: CPU shared among them, memory as a share of each one's request."""
        self._work[namespace, component] = (cpu, memory)

    def set_external(self, namespace: str, metric: str, value: float) -> None:
        """An external metric, by the name that its autoscaler asks for."""
        self._external[namespace, metric] = value

    def answer(self, path: str) -> dict[str, Any] | None:
        """What the path leads to; None: nothing."""
        parts = urlsplit(path)
        for group in KINDS:
            inside = parts.path.removeprefix(f"/apis/{group}").strip("/")
            if not parts.path.startswith(f"/apis/{group}"):
                continue
            if not inside:
                return _resources(group)
            _, namespace, *rest = inside.split("/")
            if group == USE:
                return self._use(namespace, parse_qs(parts.query).get("labelSelector", [""])[0])
            return self._external_metric(namespace, rest[-1])
        return None

    def _use(self, namespace: str, selector: str) -> dict[str, Any]:
        query = urlencode({"labelSelector": selector})
        pods = self._api.read(f"/api/v1/namespaces/{namespace}/pods?{query}")["items"]
        running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        return {
            "kind": "PodMetricsList",
            "apiVersion": USE,
            "metadata": {},
            "items": [self._use_of(pod, len(running)) for pod in running],
        }

    def _use_of(self, pod: Object, pods: int) -> dict[str, Any]:
        metadata = pod["metadata"]
        component = metadata["labels"].get("app.kubernetes.io/component", "")
        cpu, memory = self._work.get((metadata["namespace"], component), (0.0, 0.0))
        return {
            "metadata": {key: metadata[key] for key in ("name", "namespace", "labels")},
            "timestamp": _now(),
            "window": "1s",
            "containers": [
                {"name": container["name"], "usage": _used(container, cpu / pods, memory)}
                for container in pod["spec"]["containers"]
            ],
        }

    def _external_metric(self, namespace: str, metric: str) -> dict[str, Any] | None:
        if (namespace, metric) not in self._external:
            return None
        value = f"{round(self._external[namespace, metric] * 1000)}m"
        item = {"metricName": metric, "metricLabels": {}, "timestamp": _now(), "value": value}
        return {"kind": "ExternalMetricValueList", "apiVersion": EXTERNAL, "metadata": {}, "items": [item]}

    def _registrations(self) -> list[dict[str, Any]]:
        """The API server refuses loopback addresses as endpoints; a name that leads there is taken."""
        port = self._server.server_port
        service = {"name": "adapter", "namespace": NAMESPACE}
        groups = [
            {
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": ".".join(reversed(group.split("/")))},
                "spec": {
                    **dict(zip(("group", "version"), group.split("/"), strict=True)),
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {**service, "port": port},
                },
            }
            for group in KINDS
        ]
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": service,
                "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
            },
            *groups,
        ]


def _handler_of(adapter: Adapter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = adapter.answer(self.path)
            body = json.dumps(found or {"kind": "Status", "status": "Failure", "code": 404}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's own name
            """Says nothing."""

    return Handler


def _resources(group: str) -> dict[str, Any]:
    name, kind, verbs = KINDS[group]
    resource = {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": [resource]}


def _used(container: Object, cpu: float, memory: float) -> dict[str, str]:
    requests = container["resources"]["requests"]
    return {
        "cpu": f"{round(quantity(requests['cpu']) * cpu * 1000)}m",
        "memory": f"{round(quantity(requests['memory']) * memory)}",
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
