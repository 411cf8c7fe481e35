"""Spans of records and of the work on them: whose trace they are in, and that they cost nothing while off."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from shared.events import ids, topics
from shared.observability import tracing
from shared.observability.otlp import OtlpTraces
from shared.observability.tracing import FIRST_OF_MANY, Headers, ReceivedRecord, run_trace
from tests.support.records import ROOT

RUN = "2026-11-29-daily"
BATCH = ids.batch_id(RUN, "posts", 0)
OTHER = f"00-{'ab' * 16}-{'cd' * 8}-01"


class Collected:
    """What was sent, once the process has ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def spans(self) -> dict[str, ReadableSpan]:
        tracing.stop_tracing()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collected]:
    found = Collected()
    monkeypatch.setattr(tracing._Current, "traces", OtlpTraces("loader", found.exporter))  # noqa: SLF001 - no OTLP server is here
    yield found
    tracing.stop_tracing()


def receive(topic: str, key: str | None = BATCH, headers: Headers = ()) -> ReceivedRecord:
    found = tracing.received(topic, 0, 7, None if key is None else key.encode(), headers, "onpoint-loader")
    assert found is not None
    return found


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def links_of(span: ReadableSpan) -> set[str]:
    return {f"{link.context.trace_id:032x}" for link in span.links}


def test_the_trace_of_a_batch_has_its_id_and_links_to_its_run(collected: Collected) -> None:
    record = receive(topics.BATCH_PROCESSED)
    tracing.name_batch(RUN, "posts", BATCH, "loader")
    with tracing.span("COPY"):
        pass
    record.end(None)
    spans = collected.spans()
    handled, copied = spans["process batch.processed"], spans["COPY"]
    assert record.trace_id == trace_of(handled) == trace_of(copied) == BATCH
    assert copied.parent is not None
    assert handled.context is not None
    assert copied.parent.span_id == handled.context.span_id
    assert links_of(handled) == {run_trace(RUN)}
    attributes = handled.attributes or {}
    assert (attributes["onpoint.run_id"], attributes["messaging.destination.name"]) == (
        RUN,
        "batch.processed",
    )


def test_what_is_published_leads_the_next_service_into_the_same_trace(collected: Collected) -> None:
    first = receive(topics.BATCH_CRAWLED)
    with tracing.span("publish batch.processed", "producer"):
        sent = tracing.headers()
    first.end(None)
    receive(topics.BATCH_PROCESSED, headers=sent).end(None)
    spans = collected.spans()
    published, handled = spans["publish batch.processed"], spans["process batch.processed"]
    assert published.context is not None
    assert handled.parent is not None
    assert handled.parent.span_id == published.context.span_id
    assert {name for name, _ in sent} == {"traceparent"}
    assert handled.links == ()


def test_a_batch_that_is_asked_for_in_another_trace_has_its_own_and_links_to_that(
    collected: Collected,
) -> None:
    receive(topics.CRAWL_BATCH_REQUESTED, headers=[("traceparent", OTHER.encode())]).end(None)
    [span] = collected.spans().values()
    assert trace_of(span) == BATCH
    assert links_of(span) == {"ab" * 16}


@pytest.mark.usefixtures("collected")
def test_a_request_stays_in_the_trace_of_whoever_made_it() -> None:
    record = receive(topics.CRAWL_REQUESTED, RUN, [("traceparent", OTHER.encode())])
    record.end(None)
    assert record.trace_id == "ab" * 16


@pytest.mark.usefixtures("collected")
def test_events_of_a_run_are_in_the_trace_that_its_batches_link_to() -> None:
    record = receive(topics.RUN_SEALED, RUN)
    record.end(None)
    assert record.trace_id == run_trace(RUN)


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", b"\xff\xfe")],
        [("traceparent", None)],
        [("traceparent", b"00-zz-zz-01")],
        [("traceparent", b"0" * 10_000)],
        [("traceparent", OTHER.encode()), ("traceparent", OTHER.encode())],
        [("traceparent", f"00-{'0' * 32}-{'0' * 16}-01".encode())],
    ],
)
def test_headers_that_are_no_trace_are_as_none(collected: Collected, headers: Headers) -> None:
    receive(topics.BATCH_CRAWLED, headers=headers).end(None)
    [span] = collected.spans().values()
    assert (trace_of(span), span.links, span.parent) == (BATCH, (), None)


@pytest.mark.usefixtures("collected")
def test_a_key_of_zeros_names_no_trace() -> None:
    record = receive(topics.BATCH_CRAWLED, "0" * 32)
    record.end(None)
    assert record.trace_id != "0" * 32


def test_an_error_is_told(collected: Collected) -> None:
    record = receive(topics.BATCH_CRAWLED)
    record.end(ValueError("odd"))
    [span] = collected.spans().values()
    assert span.status.description == "ValueError"
    assert [event.name for event in span.events] == ["exception"]


def test_an_object_of_many_batches_links_to_each(collected: Collected) -> None:
    batches = [ids.batch_id(RUN, "posts", number) for number in range(3)]
    with tracing.batches_span("write object", batches):
        pass
    [span] = collected.spans().values()
    assert links_of(span) == set(batches)
    assert trace_of(span) not in batches


def test_of_many_requests_of_a_record_the_first_are_spans(collected: Collected) -> None:
    for _ in range(2):
        record = receive(topics.CRAWL_BATCH_REQUESTED)
        for _ in range(FIRST_OF_MANY + 5):
            with tracing.one_of_many("fetch"):
                pass
        record.end(None)
    tracing.stop_tracing()
    names = [span.name for span in collected.exporter.get_finished_spans()]
    assert names.count("fetch") == 2 * FIRST_OF_MANY


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ],
)
def test_the_variables_of_opentelemetry_decide(environment: Mapping[str, str], expected: bool) -> None:
    assert tracing.is_asked(environment) is expected


class _Away(SpanExporter):
    """A collector that does not answer."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002 - the signature of the SDK
        time.sleep(20)
        return SpanExportResult.FAILURE


def test_a_collector_that_is_away_does_not_hold_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing._Current, "traces", OtlpTraces("loader", _Away()))  # noqa: SLF001 - as above
    with tracing.span("put"):
        pass
    began_s = time.monotonic()
    tracing.stop_tracing()
    assert time.monotonic() - began_s < 10


def test_without_the_packages_there_is_one_warning_and_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shared.observability.otlp", None)
    with capture_logs() as logs:
        tracing.configure_tracing("loader", {"OTEL_TRACES_EXPORTER": "otlp"})
    assert [(one["event"], one["log_level"]) for one in logs] == [("traces_unavailable", "warning")]
    assert "onpoint[traces]" in logs[0]["hint"]
    assert not tracing.is_on()


def test_off_neither_sdk_nor_exporter_is_imported() -> None:
    program = (
        "import sys, services.loader.app, shared.observability.tracing as t\n"
        "t.configure_tracing('loader', {})\n"
        "with t.span('COPY'): pass\n"
        "assert t.received('a', 0, 0, None, (), 'g') is None and t.headers() == []\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
