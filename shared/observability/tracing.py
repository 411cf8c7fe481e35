"""Traces of OpenTelemetry: one for each batch, with a link to its run (docs/traces.md). Off unless `OTEL_*` asks for it.

Off, a span is one look at a variable, and neither SDK nor exporter is imported.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Final, Literal, Protocol

from shared.events import topics
from shared.events.ids import BATCH_ID_PATTERN, derive
from shared.observability.logging import get_logger

Attributes = Mapping[str, str | int | float | bool]
Kind = Literal["internal", "consumer", "producer", "client"]
Headers = Sequence[tuple[str, bytes | None]]

PROTOCOL: Final = "http/protobuf"

FIRST_OF_MANY: Final = 20
"""A span costs as much as a small request does."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_NOTHING = nullcontext()
_NO_ATTRIBUTES: Final[Attributes] = MappingProxyType({})
_BATCH_ID = re.compile(BATCH_ID_PATTERN)
_OF_RUNS = frozenset({topics.CRAWL_PLANNED, topics.RUN_SEALED, topics.RUN_DRAINED, topics.RUN_COMPLETED})
"""Keyed by the run. A request is not among them: whoever made it may have a trace already."""

log = get_logger()


class ReceivedRecord(Protocol):
    """A record that is handled: its span is current from the start on."""

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        ...

    def end(self, error: BaseException | None) -> None: ...


class Traces(Protocol):
    """What the SDK does; `shared/observability/otlp.py` has it."""

    def span(self, name: str, kind: Kind, attributes: Attributes) -> AbstractContextManager[None]: ...

    def has_room(self) -> bool: ...

    def batches_span(
        self, name: str, batch_ids: Sequence[str], attributes: Attributes
    ) -> AbstractContextManager[None]: ...

    def received(
        self, name: str, trace_id: str | None, headers: Headers, attributes: Attributes
    ) -> ReceivedRecord: ...

    def name_run(self, run_id: str, attributes: Attributes) -> None: ...

    def headers(self) -> list[tuple[str, bytes]]: ...

    def stop(self) -> None: ...


class _Current:
    traces: Traces | None = None


def is_on() -> bool:
    return _Current.traces is not None


def span(
    name: str, kind: Kind = "internal", attributes: Attributes = _NO_ATTRIBUTES
) -> AbstractContextManager[None]:
    """A part of the work in hand. An error that leaves the block is recorded."""
    traces = _Current.traces
    return _NOTHING if traces is None else traces.span(name, kind, attributes)


def one_of_many(
    name: str, kind: Kind = "internal", attributes: Attributes = _NO_ATTRIBUTES
) -> AbstractContextManager[None]:
    """As `span`, for what a record may cause a thousand times: the first `FIRST_OF_MANY` of each record are spans."""
    traces = _Current.traces
    if traces is None or not traces.has_room():
        return _NOTHING
    return traces.span(name, kind, attributes)


def batches_span(
    name: str, batch_ids: Sequence[str], attributes: Attributes = _NO_ATTRIBUTES
) -> AbstractContextManager[None]:
    """Work on many batches: a trace of its own, linked to theirs."""
    traces = _Current.traces
    return _NOTHING if traces is None else traces.batches_span(name, batch_ids, attributes)


def received(
    topic: str, partition: int, offset: int, key: bytes | None, headers: Headers, group: str
) -> ReceivedRecord | None:
    """Begins the span of a record; None where traces are off. End it by `end`."""
    traces = _Current.traces
    if traces is None:
        return None
    attributes: Attributes = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
        "messaging.kafka.offset": offset,
        "messaging.consumer.group.name": group,
    }
    return traces.received(f"process {topic}", _trace_of(topic, _text(key)), headers, attributes)


def name_batch(run_id: str, dataset: str, batch_id: str, stage: str) -> None:
    """Tells the span of the record in hand what it is about, and links it to its run."""
    if (traces := _Current.traces) is not None:
        attributes = {
            "onpoint.run_id": run_id,
            "onpoint.dataset": dataset,
            "onpoint.batch_id": batch_id,
            "onpoint.stage": stage,
        }
        traces.name_run(run_id, attributes)


def headers() -> list[tuple[str, bytes]]:
    """W3C headers of the span in hand, for a record that follows from it; empty where traces are off."""
    traces = _Current.traces
    return [] if traces is None else traces.headers()


def configure_tracing(service: str, environment: Mapping[str, str] = os.environ) -> None:
    """Call once per process. On where an OTLP endpoint is set or `OTEL_TRACES_EXPORTER` is `otlp`.

    Asked for without the packages of the extra `traces`, it logs one warning and stays off.
    """
    if not is_asked(environment):
        return
    for name in _PROTOCOLS:
        if (protocol := environment.get(name)) not in {None, "", PROTOCOL}:
            log.warning("traces_protocol_ignored", variable=name, given=protocol, used=PROTOCOL)
    try:
        from shared.observability.otlp import OtlpTraces  # noqa: PLC0415 - its packages are an extra
    except ModuleNotFoundError as error:
        log.warning(
            "traces_unavailable",
            missing=error.name,
            hint="OTEL_* asks for traces: install the extra, pip install 'onpoint[traces]'",
        )
        return
    _Current.traces = OtlpTraces(service)
    log.info("traces_on")


def stop_tracing() -> None:
    """Sends what waits, for three seconds at most. Blocks."""
    traces, _Current.traces = _Current.traces, None
    if traces is not None:
        traces.stop()


def is_asked(environment: Mapping[str, str]) -> bool:
    """By the rules of OpenTelemetry, but for one: without an endpoint nothing is sent, instead of to localhost."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    if exporter:
        return "otlp" in exporter.split(",")
    return any(environment.get(name) for name in _ENDPOINTS)


def _trace_of(topic: str, key: str | None) -> str | None:
    """The trace that a record belongs to by its key: its batch's or its run's; None: its sender's."""
    if key is None:
        return None
    if _BATCH_ID.fullmatch(key) and key.strip("0"):
        return key
    return run_trace(key) if topic in _OF_RUNS else None


def run_trace(run_id: str) -> str:
    """The trace that the batches of a run link to."""
    return derive("trace of run", run_id)


def _text(key: bytes | None) -> str | None:
    return None if key is None else key.decode("ascii", "replace")
