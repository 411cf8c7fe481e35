"""I6: no lag, and every record of every input topic led to something that can be shown."""

from aiokafka import TopicPartition

from console.verify.bus import Bus, RecordDigest, RecordRef, name_of
from console.verify.database import ENDED, AuditRows, Run
from console.verify.findings import Findings
from shared.events import topics, topology
from shared.events.topics import retry_topic
from shared.events.topology import CONSUMES, LISTENS, SERVICES


def check_lag(bus: Bus, findings: Findings) -> None:
    """A group is at the end when it has committed past the last record: markers of transactions take offsets too."""
    for service, names in CONSUMES.items():
        committed = bus.committed.get(service, {})
        for topic in (*names, *LISTENS.get(service, ()), retry_topic(service)):
            for tp in sorted(tp for tp in bus.ends if tp.topic == topic):
                at = committed.get(tp, -1)
                subject = f"group onpoint-{service} on {tp.topic}-{tp.partition}"
                findings.require(
                    "I6",
                    at <= bus.ends[tp],
                    subject,
                    f"it has committed {at}, the log ends at {bus.ends[tp]}",
                )
                if (last := bus.lasts.get(tp)) is not None:
                    findings.require("I6", at > last, subject, _lag(at, tp, last, bus))


def _lag(at: int, tp: TopicPartition, last: int, bus: Bus) -> str:
    first = max(at, bus.begins.get(tp, 0))
    return f"it stands at {at}, {name_of((tp.topic, tp.partition, first))} is the first of {last - first + 1} not handled"


class RecordAccounting:
    """Whether a record led to a result, a run or a dead letter."""

    def __init__(self, audit: AuditRows, bus: Bus, findings: Findings) -> None:
        self._audit = audit
        self._bus = bus
        self._findings = findings
        self._results = {(result.batch_id, result.stage) for result in audit.results}
        self._combined = {(one.run_id, one.dataset, one.format) for one in audit.combined}
        self._dead: set[tuple[str, RecordRef]] = {
            digest.place for digest in bus.dead_letters if digest.place is not None
        }

    def check(self) -> None:
        """Checks every record of the runs, once for each service that reads its topic."""
        readers: dict[str, list[str]] = {}
        for service, names in CONSUMES.items():
            for topic in (*names, retry_topic(service)):
                readers.setdefault(topic, []).append(service)
        listeners = {topic: service for service, names in LISTENS.items() for topic in names}
        for record in self._bus.records.values():
            if not self._is_asked_about(record):
                continue
            for service in readers.get(record.place[0], ()):
                self._check(service, record)
            if (listener := listeners.get(record.place[0])) is not None:
                self._check_heard(listener, record)

    def _check_heard(self, service: str, record: RecordDigest) -> None:
        """The run of a record is known, unless the record is in the dead letters of the service that answers for it."""
        run_id = str(record.fields.get("run_id"))
        is_dead = any((answering, record.place) in self._dead for answering in SERVICES)
        self._findings.require(
            "I6",
            is_dead or run_id in self._audit.runs or run_id in self._audit.others,
            f"{record} (run {run_id})",
            f"{service} does not know its run",
        )

    def _check(self, service: str, record: RecordDigest) -> None:
        fields = record.fields
        named = f" (run {fields.get('run_id', '?')}, batch {fields.get('batch_id', '?')})" if fields else ""
        self._findings.require(
            "I6",
            (service, record.place) in self._dead or self._led_to_something(service, record),
            f"{record}{named}",
            f"{service} has left no result of it, and no dead letter",
        )

    def _led_to_something(self, service: str, record: RecordDigest) -> bool:
        fields, topic = record.fields, record.place[0]
        run = self._audit.runs.get(str(fields.get("run_id")))
        stage = service
        match topic:
            case topics.CRAWL_REQUESTED | topics.RUN_SEALED | topics.RUN_DRAINED:
                return run is not None and run.status in ENDED
            case topics.EXPORTS_COMBINE_REQUESTED | topics.EXPORTS_COMBINED:
                return (fields.get("run_id"), fields.get("dataset"), fields.get("format")) in self._combined
            case topics.CRAWL_PLANNED | topics.CRAWL_BATCH_REQUESTED if fields.get("kind", "plan") == "plan":
                return run is not None and self._is_planned(run, fields.get("dataset"))
            case _ if topic == retry_topic(service):
                return self._was_retried(service, record)
            case topics.BATCH_FAILED:
                stage = str(fields.get("stage"))
            case _ if service == "quality":
                stage = topology.STAGE_OF_RESULT[topic]
            case topics.BATCH_PROCESSED if run is not None and not run.has(service):
                return True
        place = (str(fields.get("batch_id")), stage)
        return place in self._results or (topic == topics.BATCH_FAILED and place in self._audit.unmatched)

    def _is_planned(self, run: Run, dataset: str | None) -> bool:
        """None: the request was refused, so there is nothing to plan."""
        return dataset is None or run.planned.get(dataset) is not None

    def _was_retried(self, service: str, record: RecordDigest) -> bool:
        """Its record is accounted for by where it came from."""
        if record.retried is None:
            return False
        return (service, record.retried.place) in self._dead or self._led_to_something(
            service, record.retried
        )

    def _is_asked_about(self, record: RecordDigest) -> bool:
        run_id = record.fields.get("run_id")
        if self._audit.everything:
            return True
        return run_id in self._audit.runs
