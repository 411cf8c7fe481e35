"""Traces by the SDK of OpenTelemetry, sent by OTLP over HTTP. Its `OTEL_*` variables decide about sampling and sending.

The trace of a batch has the batch's id: every process finds it without being told, and a redelivery adds to it.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.observability.tracing import FIRST_OF_MANY, Attributes, Headers, Kind, run_trace
from shared.version import CODE_VERSION

MAX_LINKS = 100
STOP_S = 3.0
MAX_HEADER_BYTES = 512

_KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "consumer": SpanKind.CONSUMER,
    "producer": SpanKind.PRODUCER,
    "client": SpanKind.CLIENT,
}
_W3C: Final = ("traceparent", "tracestate")

_room: ContextVar[list[int] | None] = ContextVar("room", default=None)
"""Of the record in hand; a list, so that the tasks of its handler share it."""

_next_trace: ContextVar[int | None] = ContextVar("next_trace", default=None)


class _Ids(IdGenerator):
    """Random, but for the trace of a batch or run."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        return self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        return _next_trace.get() or self._random.generate_trace_id()


class OtlpTraces:
    def __init__(self, service: str, exporter: SpanExporter | None = None) -> None:
        """`exporter`: by default the one that the variables name."""
        resource = Resource.create({"service.name": f"onpoint-{service}", "service.version": CODE_VERSION})
        self._provider = TracerProvider(resource=resource, id_generator=_Ids(), shutdown_on_exit=False)
        # Each try to reach a collector that is away would be a warning; the last one of a batch is an error.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("onpoint", CODE_VERSION)
        self._w3c = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, kind: Kind, attributes: Attributes) -> Iterator[None]:
        with self._tracer.start_as_current_span(name, kind=_KINDS[kind], attributes=dict(attributes)):
            yield

    def has_room(self) -> bool:
        room = _room.get()
        if room is None:
            return True
        room[0] -= 1
        return room[0] >= 0

    @contextmanager
    def batches_span(self, name: str, batch_ids: Sequence[str], attributes: Attributes) -> Iterator[None]:
        links = [link_to_batch(batch_id) for batch_id in batch_ids[:MAX_LINKS]]
        with self._tracer.start_as_current_span(
            name, context=Context(), links=links, attributes={**attributes, "onpoint.batches": len(batch_ids)}
        ):
            yield

    def received(
        self, name: str, trace_id: str | None, headers: Headers, attributes: Attributes
    ) -> "OtlpRecord":
        """In the trace, or else its sender's. The sender is the parent, or, of another trace, a link."""
        sender = trace.get_current_span(
            self._w3c.extract(_carrier(headers), context=Context())
        ).get_span_context()
        chosen_id = None if trace_id is None else int(trace_id, 16)
        if sender.is_valid and chosen_id in {None, sender.trace_id}:
            parent = trace.set_span_in_context(trace.NonRecordingSpan(sender), Context())
            links = []
        else:
            parent = Context()
            links = [Link(sender)] if sender.is_valid else []
        chosen = _next_trace.set(chosen_id)
        try:
            span = self._tracer.start_span(
                name, context=parent, kind=SpanKind.CONSUMER, links=links, attributes=dict(attributes)
            )
        finally:
            _next_trace.reset(chosen)
        _room.set([FIRST_OF_MANY])
        return OtlpRecord(span)

    def name_run(self, run_id: str, attributes: Attributes) -> None:
        span = trace.get_current_span()
        span.set_attributes(dict(attributes))
        if span.is_recording():
            span.add_link(_reference(run_trace(run_id)), {"onpoint.run_id": run_id})

    def headers(self) -> list[tuple[str, bytes]]:
        carrier: dict[str, str] = {}
        self._w3c.inject(carrier)
        return [(name, value.encode()) for name, value in carrier.items()]

    def stop(self) -> None:
        """Sends what waits, for `STOP_S` at most: a collector that is away must not hold a stop."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(STOP_S)


class OtlpRecord:
    """The span of a record, current until its end."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token: Token[Context] = contexts.attach(trace.set_span_in_context(span))

    @property
    def trace_id(self) -> str:
        return f"{self._span.get_span_context().trace_id:032x}"

    def end(self, error: BaseException | None) -> None:
        if error is not None:
            self._span.record_exception(error)
            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self._span.end()
        contexts.detach(self._token)


def link_to_batch(batch_id: str) -> Link:
    return Link(_reference(batch_id), {"onpoint.batch_id": batch_id})


def _reference(trace_id: str) -> SpanContext:
    """Names a trace. A link needs a span too: no process knows which there are, so it is derived and may not exist."""
    return SpanContext(
        int(trace_id, 16), int(trace_id[:16], 16) or 1, is_remote=True, trace_flags=TraceFlags(1)
    )


def _carrier(headers: Headers) -> dict[str, str]:
    """The W3C headers of a record. One that comes twice, is long or no ASCII does not count."""
    found: dict[str, str] = {}
    twice = set()
    for name, value in headers:
        if name in _W3C and value is not None and len(value) <= MAX_HEADER_BYTES and value.isascii():
            if name in found:
                twice.add(name)
            found[name] = value.decode()
    return {name: value for name, value in found.items() if name not in twice}
