"""The task that waits for a run and evaluates its result."""

import time
from datetime import timedelta
from typing import Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException

from onpoint_airflow import kafka
from onpoint_airflow.links import links_of
from onpoint_airflow.summary import describe, headline, restore
from onpoint_airflow.trigger import RunCompletedTrigger

SUMMARY = "summary"
"""XCom key of the run's summary, there for failed runs too."""

TRIGGERER_GRACE = timedelta(minutes=10)
"""The trigger ends in time by itself; past this the scheduler ends the wait, should no triggerer live."""


class WaitForRun(BaseOperator):
    """Defers until the run's `run.completed` is there, and returns it.

    Fails for good, so without retries, where the run failed or was cancelled, where it is partial and
    `fail_on_partial` is set, and when `timeout_minutes` have passed: waiting again would change nothing.
    """

    template_fields = ("run_id", "positions", "timeout_minutes", "fail_on_partial")

    def __init__(
        self,
        *,
        run_id: str,
        positions: dict[str, int],
        timeout_minutes: float | str,
        fail_on_partial: bool | str,
        connection_id: str = kafka.CONNECTION_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"doc_md": self.__doc__} | kwargs)
        self.run_id = run_id
        self.positions = positions
        self.timeout_minutes = timeout_minutes
        self.fail_on_partial = fail_on_partial
        self.connection_id = connection_id

    def execute(self, context: Context) -> NoReturn:  # noqa: ARG002  (Airflow's signature)
        timeout = timedelta(minutes=float(self.timeout_minutes))
        self.defer(
            trigger=RunCompletedTrigger(
                run_id=self.run_id,
                positions=self.positions,
                deadline=time.time() + timeout.total_seconds(),
                connection_id=self.connection_id,
            ),
            method_name=self.evaluate.__name__,
            timeout=timeout + TRIGGERER_GRACE,
        )

    def evaluate(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        if "completion" not in event:
            raise AirflowFailException(self._unanswered(event))
        document: dict[str, Any] = event["completion"]
        completion = restore(document)
        summary = describe(document, links_of(context, completion.run_id))
        self.log.info("%s", summary)
        context["ti"].xcom_push(SUMMARY, summary)
        if completion.status in self._failing():
            raise AirflowFailException(headline(completion))
        return document

    def _failing(self) -> set[str]:
        return {"failed", "cancelled"} | ({"partial"} if self.fail_on_partial in {True, "True"} else set())

    def _unanswered(self, event: dict[str, Any]) -> str:
        if "timed_out" in event:
            why = f": {event['timed_out']}" if event["timed_out"] else ""
            return f"run {self.run_id} did not complete within {self.timeout_minutes} minutes{why}"
        return f"the completion of run {self.run_id} cannot be decoded: {event['undecodable']}"
