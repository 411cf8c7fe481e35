"""An odd batch and what must become of it: by its lines, or by the values of one column."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.datasets.model import Dataset
from tests.support.crawled import a_dataset

ID = {"name": "id", "type": "int64"}


@dataclass(frozen=True, slots=True)
class Refused:
    """The reason of a line in quarantine, and words that its detail has."""

    reason: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class OddBatch:
    name: str
    dataset: Dataset
    lines: Sequence[bytes]
    rows: Sequence[Mapping[str, Any]]
    """All that is accepted, in its order, without lineage."""
    refused: Mapping[int, Refused] = field(default_factory=dict)
    """By the line's place."""
    deduplicated: int = 0
    filtered: int = 0
    added: int = 0
    absent: tuple[str, ...] = ()
    """Columns that no record had."""
    unnamed: tuple[str, ...] = ()
    """Fields that the batch's manifest names beside absent columns."""
    is_checked: bool = True
    """False: the independent checker does not read lines as deep as these."""

    def __str__(self) -> str:
        return self.name


def no_type(words: str = "") -> Refused:
    return Refused("type", words)


def no_range(words: str = "") -> Refused:
    return Refused("range", words)


def json_lines(*records: Any) -> list[bytes]:
    return [json.dumps(record, ensure_ascii=False).encode() for record in records]


def of_values(name: str, kind: str, written: Mapping[str, Any], **options: Any) -> OddBatch:
    """A line for each value of column `x`, by its JSON text; what it becomes is a value or `Refused`."""
    lines = [f'{{"id": {place}, "x": {text}}}'.encode() for place, text in enumerate(written)]
    outcomes = dict(enumerate(written.values()))
    return OddBatch(
        name,
        a_dataset([ID, {"name": "x", "type": kind, **options}], ["id"]),
        lines,
        [{"id": place, "x": value} for place, value in outcomes.items() if not isinstance(value, Refused)],
        {place: value for place, value in outcomes.items() if isinstance(value, Refused)},
    )


def of_texts(name: str, kind: str, written: Mapping[str, Any], **options: Any) -> OddBatch:
    """As `of_values`, of texts that are not yet JSON."""
    return of_values(name, kind, {json.dumps(text): value for text, value in written.items()}, **options)
