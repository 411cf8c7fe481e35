"""Whole chunks of lines to Arrow at once, or not at all: whatever is doubtful is left to `row_parser`.

The parser is quick and almost strict. What it lets pass, and one input that ends the process (a line `null`), is
looked for here in the bytes before, and in the columns after.
"""

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.json
import stringzilla

from services.processor.domain.chosen_forms import ChosenForms
from services.processor.domain.parse_schema import ParseSchema, Target, Tree, tree_schema
from services.processor.domain.typed_columns import Columns, typed_columns
from services.processor.domain.unmapped_fields import UnnamedFields, copy_tree, value_at

_NO_NUMBER = re.compile(rb"(?:NaN|Inf(?:inity)?)(?=[\s,}\]])")

_POWERS = (b"e-", b"E-")
_SMALL_POWER = re.compile(rb'([0-9]++)["\s,}\]]')
_NUMBER_BEFORE = re.compile(rb'(?:^|["\s:,\[])[+-]?[0-9]*+(?:\.[0-9]*+)?$')
_ESCAPED_NUMBER = re.compile(rb"\\u00(?:3[0-9]|2[bBdDeE]|[46]5)")
_LOOKED_BACK_BYTES = 64
_SURE_DIGITS = 25
"""Of a number. With a power of ten of one digit they stay within the parser's table of powers."""


def read_columns(
    data: bytes, lines: int, parse_schema: ParseSchema, fields: UnnamedFields, forms: ChosenForms
) -> tuple[Columns, int] | None:
    """The dataset's columns and how many values no column is for; None if a single line is doubtful."""
    if not _is_plain(data, lines) or (parse_schema.has_decimals and _may_be_tiny(data)):
        return None
    if parse_schema.known is not None and not parse_schema.known.are_all(data, lines):
        return None
    found = _read(data, lines, parse_schema, fields, forms)
    if found is None and forms.choose(data):
        found = _read(data, lines, parse_schema, fields, forms)
    return found


def _read(
    data: bytes, lines: int, parse_schema: ParseSchema, fields: UnnamedFields, forms: ChosenForms
) -> tuple[Columns, int] | None:
    ignored = 0
    tree = fields.tree()
    table = _parse(data, forms.shape(tree))
    if table is not None:
        ignored = fields.count(table)
    elif (
        tree != parse_schema.tree
        and (table := _parse(data, forms.shape(copy_tree(parse_schema.tree)))) is not None
    ):
        fields.distrust()
    if table is None or table.num_rows != lines:
        return None
    raws = parse_schema.raw.read(data, lines)
    if raws is None:
        return None
    columns = typed_columns(
        (
            raws[place] if place in raws else _at(table, target)
            for place, target in enumerate(parse_schema.targets)
        ),
        parse_schema,
    )
    return None if columns is None else (columns, ignored)


def _is_plain(data: bytes, lines: int) -> bool:
    """Every line is framed as one object, and nothing is there that the parser would let pass.

    `}`, newline, `{` can only be a boundary between two documents (a raw newline in a text is refused by the
    parser). So as many rows as lines means one per line.
    """
    if not (data.startswith(b"{") and data.endswith(b"}\n") and _count(data, b"}\n{") == lines - 1):
        return False
    if _contains(data, b"\\u0000"):
        return False
    if (_contains(data, b"NaN") or _contains(data, b"Inf")) and _NO_NUMBER.search(data):
        return False
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _may_be_tiny(data: bytes) -> bool:
    """Whether a number's power of ten may be below what the parser's decimals know, or hides behind escapes.

    The parser reads beyond its table of powers then, which gives another value or ends the process.
    """
    if _contains(data, b"\\u00") and _ESCAPED_NUMBER.search(data):
        return True
    for place in (place for sign in _POWERS for place in _places(data, sign)):
        power = _SMALL_POWER.match(data, place + 2)
        if power is None:
            continue
        number = _NUMBER_BEFORE.search(data[max(place - _LOOKED_BACK_BYTES, 0) : place])
        if number and (len(power[1].lstrip(b"0")) > 1 or len(number[0]) > _SURE_DIGITS):
            return True
    return False


def _places(data: bytes, part: bytes) -> Iterator[int]:
    place = int(stringzilla.find(data, part))
    while place >= 0:
        yield place
        place = int(stringzilla.find(data, part, place + len(part)))


def _count(data: bytes, part: bytes) -> int:
    """As `data.count(part)`, ten times as fast: these looks at the bytes were a third of all parsing."""
    return int(stringzilla.count(data, part))


def _contains(data: bytes, part: bytes) -> bool:
    return int(stringzilla.find(data, part)) >= 0


def _parse(data: bytes, tree: Tree) -> pa.Table | None:
    try:
        return pyarrow.json.read_json(
            pa.BufferReader(data),  # type: ignore[arg-type]  # the stubs know no file of Arrow's own
            # One block, so nothing is left to do at once: handing it to another thread would only cost.
            read_options=pyarrow.json.ReadOptions(block_size=len(data), use_threads=False),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=tree_schema(tree), unexpected_field_behavior="ignore"
            ),
        )
    except pa.ArrowInvalid:
        return None


def _at(table: pa.Table, target: Target) -> "pa.Array[Any]":
    return value_at(table, target.path).combine_chunks()
