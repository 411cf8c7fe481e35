"""What a receiver of OTLP gets over HTTP, and how the variables of OpenTelemetry decide about it."""

import gzip
import http.server
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.events import ids, topics
from shared.observability import tracing

BATCH = ids.batch_id("r", "posts", 0)


class Receiver(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []

    def names(self) -> list[tuple[str, str]]:
        """Service and span."""
        return [
            (attribute.value.string_value, span.name)
            for request in self.requests
            for resource in request.resource_spans
            for attribute in resource.resource.attributes
            if attribute.key == "service.name"
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    tracing.stop_tracing()
    server.shutdown()
    server.server_close()


def handle_a_record() -> None:
    tracing.configure_tracing("loader")
    record = tracing.received(topics.BATCH_PROCESSED, 0, 7, BATCH.encode(), (), "onpoint-loader")
    assert record is not None
    with tracing.span("COPY", "client", {"onpoint.rows": 5}):
        pass
    record.end(None)
    tracing.stop_tracing()


def test_spans_arrive_as_protobuf_with_the_batch_s_trace(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20planted")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    handle_a_record()
    assert receiver.names() == [("onpoint-loader", "COPY"), ("onpoint-loader", "process batch.processed")]
    [request] = receiver.requests
    [resource] = request.resource_spans
    about = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert about["deployment.environment"] == "test"
    copied, handled = resource.scope_spans[0].spans
    assert {span.trace_id.hex() for span in (copied, handled)} == {BATCH}
    assert copied.parent_span_id == handled.span_id
    assert {one.key: one.value.int_value for one in copied.attributes} == {"onpoint.rows": 5}
    assert receiver.headers[0]["authorization"] == "Bearer planted"


def test_the_sampler_of_the_variables_decides(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    handle_a_record()
    assert receiver.names() == []


def test_the_service_may_be_named_otherwise(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    handle_a_record()
    assert {service for service, _ in receiver.names()} == {"ours"}
