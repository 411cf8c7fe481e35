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
from console.verify.bus import CONSUMES, Bus, LetterSeen, Place, name_of
from console.verify.database import Books, Result
from console.verify.findings import Findings

HEADERS = frozenset(
    f"dlq.{name}"
    for name in (
        "original.topic", "original.partition", "original.offset", "original.timestamp", "original.key",
        "consumer_group", "service", "stage", "tries", "reason_code", "exception", "message", "stacktrace_sha",
        "first_failed_at", "failed_at", "trace_id", "run_id", "batch_id", "schema_version",
    )
)  # fmt: skip
"""What a dead letter says of its record, as promised to whoever reads the topics."""


@dataclass(frozen=True, slots=True)
class BadEvent:
    """An event that was published to be refused."""

    place: Place
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


class Letters:
    def __init__(
        self, books: Books, bus: Bus, actions: Sequence[Action], findings: Findings, *, killed: bool
    ) -> None:
        """`killed`: services were killed, so a letter may have been written twice before its record was left."""
        self._books = books
        self._bus = bus
        self._findings = findings
        self._killed = killed
        self._replays = Counter(
            (action.position.service, action.identity) for action in actions if action.action == "replay"
        )
        self._results: dict[tuple[str, str], Result] = {(r.batch_id, r.stage): r for r in books.results}

    def check(self, bad_events: Sequence[BadEvent] | None) -> None:
        """`bad_events` None: nobody says what was to be refused."""
        asked = [letter for letter in self._bus.letters if self._is_asked_about(letter)]
        for letter in asked:
            self._check_whole(letter)
        self._check_single(asked)
        if bad_events is not None:
            self._check_injected(bad_events)
            self._check_deserved(asked, {event.place for event in bad_events})

    def _check_whole(self, letter: LetterSeen) -> None:
        missing = sorted(HEADERS - letter.headers)
        if not self._findings.require("I7", not missing, str(letter), f"it lacks {', '.join(missing)}"):
            return
        if not self._findings.require(
            "I7", letter.original is not None, str(letter), "it does not say which record died"
        ):
            return
        assert letter.original is not None  # noqa: S101 - as just asserted
        there = self._bus.seen.get(letter.original.place)
        if there is None:
            self._check_taken_by_retention(letter, letter.original.place)
            return
        self._findings.require(
            "I7",
            there.content == letter.original.content,
            str(letter),
            f"its key, value or headers are not those of {there}",
        )

    def _check_taken_by_retention(self, letter: LetterSeen, place: Place) -> None:
        begins = {(tp.topic, tp.partition): offset for tp, offset in self._bus.begins.items()}
        gone = place[2] < begins.get(place[:2], 0)
        self._findings.require(
            "I7", gone, str(letter), f"there is no {name_of(place)}, of which it says that it died"
        )

    def _check_single(self, letters: Sequence[LetterSeen]) -> None:
        groups: dict[tuple[str, str], list[LetterSeen]] = {}
        for letter in letters:
            groups.setdefault((letter.letter.position.service, letter.letter.identity), []).append(letter)
        for group, found in groups.items():
            self._findings.count("I7")
            more = len(found) - 1 - self._replays[group]
            contents = {letter.original.content for letter in found if letter.original is not None}
            if more <= 0:
                continue
            if self._killed and len(contents) <= 1:
                self._findings.note(
                    "it is there more than once, as may be where a service is killed", str(found[0])
                )
                continue
            places = ", ".join(str(letter.letter.position) for letter in found)
            self._findings.add("I7", str(found[-1]), f"its record has {len(found)} dead letters: {places}")

    def _check_injected(self, bad_events: Sequence[BadEvent]) -> None:
        places = {letter.place for letter in self._bus.letters}
        for event in bad_events:
            there = self._bus.seen.get(event.place)
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

    def _check_deserved(self, letters: Sequence[LetterSeen], bad: set[Place]) -> None:
        for letter in letters:
            place = None if letter.original is None else letter.original.place
            if place in bad:
                continue
            stage = letter.letter.result_stage or ""
            result = self._results.get((letter.letter.batch_id, stage))
            replayed = self._replays[letter.letter.position.service, letter.letter.identity] > 0
            self._findings.require(
                "I7",
                replayed or (result is not None and result.status == "dead"),
                str(letter),
                f"nothing is wrong with {place and name_of(place)} (reason {letter.letter.reason})",
            )

    def _is_asked_about(self, letter: LetterSeen) -> bool:
        return self._books.everything or letter.letter.run_id in self._books.runs
