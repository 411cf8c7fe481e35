"""What was checked and what is wrong, by invariant."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

INVARIANTS: Mapping[str, str] = {
    "I1": "PostgreSQL and the lake hold every record",
    "I2": "row counts of batches and runs agree",
    "I3": "named objects are whole, others are young",
    "I4": "each run has one completion, a true one",
    "I5": "everything has come to its end",
    "I6": "every record of every topic is accounted for",
    "I7": "dead letters are whole, single, deserved",
    "I9": "every name is derived from what it names",
    "I10": "every process is as it was",
    "I11": "logs keep secrets and name what failed",
}
"""I8 is about change data capture."""

NAMED_IN_A_NOTE = 5

LISTED_PER_INVARIANT = 10_000
"""More violations are counted, not listed: of what is wrong everywhere the first cases are enough."""


@dataclass(frozen=True, slots=True)
class Violation:
    invariant: str
    subject: str
    """The record, batch, object, event or process that is wrong."""
    message: str


@dataclass(slots=True)
class Findings:
    checked: Counter[str] = field(default_factory=Counter)
    """Things that were looked at, by invariant."""
    wrong: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    noted: dict[str, list[str]] = field(default_factory=dict)
    """What could not be checked: the subjects, by the reason."""

    def count(self, invariant: str, number: int = 1) -> None:
        """Adds `number` checks; 0: the invariant is among those that are checked."""
        self.checked[invariant] += number

    def add(self, invariant: str, subject: str, message: str) -> None:
        """Beyond `LISTED_PER_INVARIANT` it is counted alone."""
        self.wrong[invariant] += 1
        if self.wrong[invariant] <= LISTED_PER_INVARIANT:
            self.violations.append(Violation(invariant, subject, message))

    def require(self, invariant: str, holds: object, subject: str, message: str) -> bool:
        """Counts one check, and a violation unless it holds; whether it does."""
        self.count(invariant)
        if not holds:
            self.add(invariant, subject, message)
        return bool(holds)

    def note(self, reason: str, subject: str) -> None:
        """Not everything could be checked. One note for each reason, each subject in it once."""
        subjects = self.noted.setdefault(reason, [])
        if subject not in subjects:
            subjects.append(subject)

    @property
    def notes(self) -> list[str]:
        """A sentence for each reason, with the first subjects and how many more there are."""
        return [f"{reason}: {_first_of(subjects)}" for reason, subjects in self.noted.items()]

    @property
    def holds(self) -> bool:
        """Nothing is wrong; true too where nothing was looked at."""
        return not self.wrong.total()

    def as_dict(self) -> dict[str, Any]:
        """For programs: the invariants that were checked, and the first violations of each."""
        return {
            "holds": self.holds,
            "invariants": {
                name: {"says": statement, "checked": self.checked[name], "violations": self.wrong[name]}
                for name, statement in INVARIANTS.items()
                if name in self.checked
            },
            "violations": [asdict(violation) for violation in self.violations],
            "notes": self.notes,
        }


def _first_of(subjects: Sequence[str]) -> str:
    named = ", ".join(subjects[:NAMED_IN_A_NOTE])
    more = len(subjects) - NAMED_IN_A_NOTE
    return f"{named} and {more:,} more" if more > 0 else named
