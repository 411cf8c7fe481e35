"""Waits for a run's `run.completed` in the triggerer, without a worker slot."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.configuration import conf
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async
from confluent_kafka import Message

from onpoint_airflow import kafka
from onpoint_airflow.summary import shorten
from shared.errors import PermanentError
from shared.events.decode import decode_event
from shared.events.models import RunCompleted
from shared.events.topics import RUN_COMPLETED

POLL_S = 1.0
"""Between two looks at what the client has fetched: the delay that a person sees, and no load."""

SCHEDULER_LAG_S = 3.0
"""What a scheduler takes to book what its executor reports."""

AT_LEAST_S = 7.0
"""Looked even when the deadline has passed: a triggerer that was down finds what came meanwhile."""


def settle_s() -> float:
    """Before the first look.

    A scheduler that has not booked the deferral yet when the wait is over already takes the task's second half for its
    first, and fails it (apache/airflow#67287). It learns of the deferral when the worker's supervisor ends, which sleeps
    through the end of its task now and then, for one interval of heartbeats.
    """
    return conf.getint("workers", "min_heartbeat_interval", fallback=5) + SCHEDULER_LAG_S


class RunCompletedTrigger(BaseTrigger):
    """Ends with one event: `{"completion": …}`, `{"undecodable": why}` or `{"timed_out": why}`.

    All it knows is in its arguments and the topic, so it can be killed at any moment and start again elsewhere:
    it reads from the positions taken before the run was asked for, and keeps its deadline.
    """

    def __init__(
        self,
        *,
        run_id: str,
        positions: dict[str, int],
        deadline: float,
        connection_id: str = kafka.CONNECTION_ID,
    ) -> None:
        """`deadline` in seconds of the epoch."""
        super().__init__()
        self.run_id = run_id
        self.positions = positions
        self.deadline = deadline
        self.connection_id = connection_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "onpoint_airflow.trigger.RunCompletedTrigger",
            {
                "run_id": self.run_id,
                "positions": self.positions,
                "deadline": self.deadline,
                "connection_id": self.connection_id,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event, then the end. An outage of Kafka is waited out until the deadline."""
        settings = await sync_to_async(kafka.settings_of)(self.connection_id)
        reader = await asyncio.to_thread(kafka.Reader, settings, RUN_COMPLETED, self.positions)
        self.log.info("waiting for run %s from %s on", self.run_id, self.positions)
        try:
            await asyncio.sleep(settle_s())
            give_up_at = max(self.deadline, time.time() + AT_LEAST_S)
            while time.time() < give_up_at:
                for message in reader.read():
                    if (found := answer_in(message, self.run_id)) is not None:
                        yield TriggerEvent(found)
                        return
                await asyncio.sleep(POLL_S)
            yield TriggerEvent(
                {"timed_out": f"the last error of Kafka: {reader.last_error}" if reader.last_error else ""}
            )
        finally:
            await asyncio.to_thread(reader.__exit__, None, None, None)


def answer_in(message: Message, run_id: str) -> dict[str, Any] | None:
    """The answer for the run in the record; None for another run's record, or an undecodable one of another key."""
    try:
        completion = decode_event(RunCompleted, message.value())
    except PermanentError as error:
        # No later read decodes it: under this run's key it is the run's only answer.
        return {"undecodable": str(error)} if message.key() == run_id.encode() else None
    return {"completion": shorten(completion)} if completion.run_id == run_id else None
