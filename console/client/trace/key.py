"""The key of a row, as a user writes it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from console.client.errors import InvalidRequestError
from console.formatting import listed
from shared.datasets.arrow import arrow_type
from shared.datasets.model import Dataset
from shared.datasets.types import Type

_POSITION = re.compile(r"(?P<run>[A-Za-z0-9][A-Za-z0-9._-]{0,127}):(?P<position>\d{1,18})")


@dataclass(frozen=True, slots=True)
class Key:
    """Values of a dataset's key: as text, and as Parquet holds them."""

    texts: Mapping[str, str]
    values: Mapping[str, "pa.Scalar[Any]"]

    def __str__(self) -> str:
        return ", ".join(f"{name}={text}" for name, text in self.texts.items())


@dataclass(frozen=True, slots=True)
class Place:
    """A record's place in the crawl of a run, from 0."""

    run_id: str
    position: int

    def __str__(self) -> str:
        return f"position {self.position:,} of run {self.run_id}"


def parse_key(dataset: Dataset, text: str) -> Key:
    """`5` where the key is one column; `id=5,region=eu` for any. A value may hold commas and `=`.

    Raises `InvalidRequestError` that names the columns, or the value that is none of its type.
    """
    given = _values_of(dataset.key, text)
    if set(given) != set(dataset.key):
        form = ",".join(f"{name}=…" for name in dataset.key)
        raise InvalidRequestError(f"the key of {dataset.name} is {listed(dataset.key)}: write {form}")
    types = {column.name: column.value_type for column in dataset.columns}
    texts = {name: _normal(types[name], given[name]) for name in dataset.key}
    return Key(texts, {name: _scalar(name, types[name], value) for name, value in texts.items()})


def parse_place(text: str) -> Place:
    """`RUN:POSITION`. Raises `InvalidRequestError`."""
    found = _POSITION.fullmatch(text)
    if found is None:
        raise InvalidRequestError(f"{text!r} is no position: write RUN:POSITION, such as 2026-11-23-daily:41")
    return Place(found["run"], int(found["position"]))


def _values_of(names: Sequence[str], text: str) -> dict[str, str]:
    """By the column; a text that names none is the value of a key of one column."""
    named = list(re.finditer(rf"(?:^|,)({'|'.join(map(re.escape, names))})=", text))
    if not named or named[0].start() != 0:
        return {names[0]: text} if len(names) == 1 else {}
    ends = [found.start() for found in named[1:]] + [len(text)]
    return {found[1]: text[found.end() : end] for found, end in zip(named, ends, strict=True)}


def _normal(kind: Type, text: str) -> str:
    return text.lower() if kind.name == "uuid" else text


def _scalar(name: str, kind: Type, text: str) -> "pa.Scalar[Any]":
    try:
        return pa.scalar(text).cast(arrow_type(kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidRequestError(f"{name} is of type {kind}, and {text!r} is none") from error
