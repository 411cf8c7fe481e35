"""I7: every dead letter is whole, its record's only one, and no record is in the dead letters that should not be."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.client.dead_letters.queue import Action
from console.client.errors import InvalidRequestError
from console.verify.bus import Bus, DeadLetterDigest, RecordRef, name_of
from console.verify.database import AuditRows, Result
from console.verify.findings import Findings
from shared.events.topology import CONSUMES

HEADERS = frozenset(
    f"dlq.{name}"
    for name in (
        "original.topic", "original.partition", "original.offset", "original.timestamp", "original.key",
        "consumer_group", "service", "stage", "tries", "reason_code", "exception", "message", "stacktrace_sha",
        "first_failed_at", "failed_at", "trace_id", "run_id", "batch_id", "schema_version",
    )
)  # fmt: skip
"""The headers of a dead-letter record, as readers of the topics may rely on them."""


@dataclass(frozen=True, slots=True)
class BadEvent:
    """An event that was published to be refused."""

    place: RecordRef
    value: bytes | None


def read_bad_events(path: Path) -> list[BadEvent]:
    """JSON lines of `topic`, `partition`, `offset` and `value` (base64, or null). Raises `InvalidRequestError`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}") from error
    return [_bad_event(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _bad_event(path: Path, number: int, line: str) -> BadEvent:
    try:
        entry = json.loads(line)
        value = None if entry["value"] is None else base64.b64decode(entry["value"], validate=True)
        return BadEvent((entry["topic"], entry["partition"], entry["offset"]), value)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{path}, line {number}: no bad event: {error!r}") from error


class DeadLetterCheck:
    def __init__(
        self, audit: AuditRows, bus: Bus, actions: Sequence[Action], findings: Findings, *, killed: bool
    ) -> None:
        """`killed`: services were killed, so a dead letter may have been written twice before its offset was committed."""
        self._audit = audit
        self._bus = bus
        self._findings = findings
        self._killed = killed
        self._replays = Counter(
            (action.position.service, action.identity) for action in actions if action.action == "replay"
        )
        self._results: dict[tuple[str, str], Result] = {(r.batch_id, r.stage): r for r in audit.results}

    def check(self, bad_events: Sequence[BadEvent] | None) -> None:
        """`bad_events` None: which records deserve their dead letters is not checked."""
        asked = [digest for digest in self._bus.dead_letters if self._is_asked_about(digest)]
        for digest in asked:
            self._check_whole(digest)
        self._check_single(asked)
        if bad_events is not None:
            self._check_injected(bad_events)
            self._check_deserved(asked, {event.place for event in bad_events})

    def _check_whole(self, digest: DeadLetterDigest) -> None:
        missing = sorted(HEADERS - digest.headers)
        if not self._findings.require("I7", not missing, str(digest), f"it lacks {', '.join(missing)}"):
            return
        if not self._findings.require(
            "I7", digest.original is not None, str(digest), "its headers do not name the record that died"
        ):
            return
        assert digest.original is not None  # noqa: S101 - as just asserted
        there = self._bus.records.get(digest.original.place)
        if there is None:
            self._check_taken_by_retention(digest, digest.original.place)
            return
        self._findings.require(
            "I7",
            there.content == digest.original.content,
            str(digest),
            f"its key, value or headers are not those of {there}",
        )

    def _check_taken_by_retention(self, digest: DeadLetterDigest, place: RecordRef) -> None:
        begins = {(tp.topic, tp.partition): offset for tp, offset in self._bus.begins.items()}
        gone = place[2] < begins.get(place[:2], 0)
        self._findings.require("I7", gone, str(digest), f"{name_of(place)}, which it names, is not there")

    def _check_single(self, digests: Sequence[DeadLetterDigest]) -> None:
        groups: dict[tuple[str, str], list[DeadLetterDigest]] = {}
        for digest in digests:
            groups.setdefault((digest.dead_letter.position.service, digest.dead_letter.identity), []).append(
                digest
            )
        for group, found in groups.items():
            self._findings.count("I7")
            more = len(found) - 1 - self._replays[group]
            contents = {digest.original.content for digest in found if digest.original is not None}
            if more <= 0:
                continue
            if self._killed and len(contents) <= 1:
                self._findings.note(
                    "it is there more than once, as may be where a service is killed", str(found[0])
                )
                continue
            places = ", ".join(str(digest.dead_letter.position) for digest in found)
            self._findings.add("I7", str(found[-1]), f"its record has {len(found)} dead letters: {places}")

    def _check_injected(self, bad_events: Sequence[BadEvent]) -> None:
        places = {digest.place for digest in self._bus.dead_letters}
        for event in bad_events:
            there = self._bus.records.get(event.place)
            digest = None if event.value is None else hashlib.sha256(event.value).hexdigest()
            self._findings.require(
                "I7",
                there is None or there.value == digest,
                name_of(event.place),
                "it is not the event that was published to be refused",
            )
            for service, names in CONSUMES.items():
                if event.place[0] in (*names, f"{service}.retry"):
                    self._findings.require(
                        "I7",
                        (service, event.place) in places,
                        name_of(event.place),
                        f"it is bad, and {service} has no dead letter of it",
                    )

    def _check_deserved(self, digests: Sequence[DeadLetterDigest], bad: set[RecordRef]) -> None:
        for digest in digests:
            place = None if digest.original is None else digest.original.place
            if place in bad:
                continue
            stage = digest.dead_letter.result_stage or ""
            result = self._results.get((digest.dead_letter.batch_id, stage))
            replayed = self._replays[digest.dead_letter.position.service, digest.dead_letter.identity] > 0
            self._findings.require(
                "I7",
                replayed or (result is not None and result.status == "dead"),
                str(digest),
                f"nothing is wrong with {place and name_of(place)} (reason {digest.dead_letter.reason})",
            )

    def _is_asked_about(self, digest: DeadLetterDigest) -> bool:
        return self._audit.everything or digest.dead_letter.run_id in self._audit.runs
