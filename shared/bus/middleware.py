"""The outermost middleware of the broker: it sees every record, and every way in which one can fail (headers,
decoding, handling, publishing).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import structlog
from aiokafka import ConsumerRecord, TopicPartition
from faststream import BaseMiddleware

from shared.bus.delivery import AtLeastOnce
from shared.bus.partition_retries import Fetched
from shared.events.topics import consumer_group
from shared.observability import tracing
from shared.observability.metrics import RECORD_SECONDS


class Settling(BaseMiddleware):
    """One record on its way through FastStream, settled by the policy when that is over."""

    def __init__(self, policy: AtLeastOnce, msg: ConsumerRecord | None, /, *, context: Any) -> None:
        super().__init__(msg, context=context)
        self._policy = policy
        self._started_s = time.monotonic()
        self._span: tracing.ReceivedRecord | None = None
        if msg is not None:
            self._record: ConsumerRecord = msg
            self._partition = TopicPartition(msg.topic, msg.partition)
            self._epoch = policy.partitions.epochs[self._partition]

    async def on_receive(self) -> None:
        raw = self._record
        self._policy.in_flight.entered(self._partition, raw.timestamp)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(
            service=self._policy.service, topic=raw.topic, partition=raw.partition, offset=raw.offset
        )
        self._span = tracing.received(
            raw.topic,
            raw.partition,
            raw.offset,
            raw.key,
            raw.headers or (),
            consumer_group(self._policy.service),
        )
        if self._span is not None:
            structlog.contextvars.bind_contextvars(trace_id=self._span.trace_id)

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: Any) -> Any:
        try:
            return await call_next(msg)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # a real shutdown
            # Otherwise it would end the consume loop in silence.
            raise RuntimeError("a task that the handler awaited was cancelled") from error

    async def after_processed(
        self,
        exc_type: type[BaseException] | None = None,  # noqa: ARG002 - FastStream passes all three
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,  # noqa: ARG002 - as exc_type
    ) -> bool | None:
        raw = self._record
        # `consumer` is on the record only where a subscriber has several workers.
        consumer = getattr(raw, "consumer", None) or self.context.get("handler_").consumer
        try:
            await self._policy.settle(Fetched(raw, consumer, self._epoch), exc_val)
        finally:
            self._policy.in_flight.left(self._partition)
            if self._span is not None:
                self._span.end(exc_val)
            RECORD_SECONDS.labels(raw.topic).observe(time.monotonic() - self._started_s)
        return exc_val is None or isinstance(exc_val, Exception)
