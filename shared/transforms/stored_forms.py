"""Values that Arrow's types allow and the dataset's do not: of times, UUIDs, enums, JSON, and inside lists and structs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from shared.datasets.arrow import Array
from shared.datasets.types import NESTED, Type
from shared.reasons import Reason
from shared.transforms.result import Refusal, off_calendar

IsJson = Callable[[str], bool]
"""Whether a text is JSON as it is stored: one text for each value."""

_TEXT_FORMS: Final[Mapping[str, tuple[str, str]]] = {
    "time": (r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}$", "a time such as 08:30:00.000000"),
    "uuid": (r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "a UUID of 36 small characters"),
}
"""As the processor stores them."""


def misfits(rows: pa.RecordBatch, kinds: Mapping[str, Type], is_json: IsJson) -> Iterator[Refusal]:
    """Rows with a value that is not of its column's type, each once per column and reason."""
    for name, kind in kinds.items():
        found: dict[tuple[int, Reason], str] = {}
        for row, reason, expected in _misfits(rows.column(name), kind, is_json, is_inside=False):
            found.setdefault((row, reason), f"{name} is not {expected} after the transform")
        yield from ((row, reason, detail) for (row, reason), detail in found.items())


def _misfits(column: Array, kind: Type, is_json: IsJson, *, is_inside: bool) -> Iterator[Refusal]:
    if kind.item is not None:
        parents: Array = pc.list_parent_indices(column)
        inside = _misfits(pc.list_flatten(column), kind.item, is_json, is_inside=True)
        yield from ((parents[place].as_py(), reason, detail) for place, reason, detail in inside)
    for name, inner in kind.fields:
        yield from _misfits(pc.struct_field(column, name), inner, is_json, is_inside=True)
    if kind.name not in NESTED:
        for wrong, reason, expected in _looks(column, kind, is_json, is_inside=is_inside):
            yield from ((place, reason, expected) for place in wrong)


def _looks(
    values: Array, kind: Type, is_json: IsJson, *, is_inside: bool
) -> Iterator[tuple[list[int], Reason, str]]:
    if kind.name in _TEXT_FORMS:
        form, expected = _TEXT_FORMS[kind.name]
        yield _places(pc.invert(pc.match_substring_regex(values, form))), Reason.TYPE, expected
    elif kind.name == "enum":
        is_member = pc.is_in(values, value_set=pa.array(kind.values, pa.string()))
        expected = f"one of {', '.join(kind.values[:20])}"
        yield _places(pc.and_(pc.is_valid(values), pc.invert(is_member))), Reason.RANGE, expected
    elif kind.name == "json":
        wrong = [
            place for place, text in enumerate(values.to_pylist()) if text is not None and not is_json(text)
        ]
        yield wrong, Reason.TYPE, "JSON with its keys sorted and no blanks"
    elif is_inside:
        yield from _looks_inside(values)


def _looks_inside(values: Array) -> Iterator[tuple[list[int], Reason, str]]:
    """What is refused in a column of its own too, see `shared.transforms.result`."""
    if pa.types.is_string(values.type):
        yield _places(pc.match_substring(values, "\0")), Reason.NUL, "a text without a NUL"
    elif pa.types.is_floating(values.type):
        yield _places(pc.invert(pc.is_finite(values))), Reason.RANGE, "a number with an end"
    elif pa.types.is_date32(values.type) or pa.types.is_timestamp(values.type):
        yield off_calendar(values), Reason.RANGE, "in the years 1 to 9999"


def _places(flags: Any) -> list[int]:
    places: list[int] = pc.indices_nonzero(pc.fill_null(flags, False)).to_pylist()
    return places
