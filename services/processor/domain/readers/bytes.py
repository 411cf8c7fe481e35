"""UUIDs, bytes, and booleans."""

import base64
import binascii
import re
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from services.processor.domain.readers.naming import other_type
from services.processor.domain.readers.reader import Reader
from services.processor.domain.readers.texts import TEXT, with_rules
from shared.datasets import column as files
from shared.datasets.arrow import Array, arrow_type
from shared.datasets.types import Type

_HEX = "[0-9a-fA-F]"
_UUID = f"{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}"
_UUID_TEXT = re.compile(f"{_UUID}|{_HEX}{{32}}")
_UUID_PARTS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))


def uuid_reader(kind: Type, column: files.Column) -> Reader:
    """In small letters, with hyphens."""

    def value(raw: Any) -> Any:
        if not isinstance(raw, str) or not _UUID_TEXT.fullmatch(raw):
            return other_type(raw, "a text of a UUID")
        digits = raw.lower().replace("-", "")
        return "-".join(digits[start:stop] for start, stop in _UUID_PARTS)

    def read(texts: Array) -> Array | None:
        if _all_match(texts, f"^{_UUID}$"):
            return pc.utf8_lower(texts)
        if not _all_match(texts, f"^{_HEX}{{32}}$"):
            return None
        digits = pc.utf8_lower(texts)
        parts = [pc.utf8_slice_codeunits(digits, start, stop) for start, stop in _UUID_PARTS]
        return pc.binary_join_element_wise(*parts, "-")

    return with_rules(Reader(arrow_type(kind), (TEXT,), read, value), column)


def binary_reader(kind: Type, column: files.Column) -> Reader:
    """Only what is written as an encoder writes it: anything else is no sure reading of the bytes."""
    encoding = column.encoding or "base64"
    decode = _from_hex if encoding == "hex" else _from_base64
    expected = f"a text of bytes in {encoding}"

    def value(raw: Any) -> Any:
        found = decode(raw) if isinstance(raw, str) else None
        return other_type(raw, expected) if found is None else found

    def read(texts: Array) -> Array | None:
        series = pl.Series(pl.from_arrow(texts))
        try:
            decoded = series.str.decode(encoding, strict=True)
        except pl.exceptions.ComputeError:
            return None
        written = series.str.to_lowercase() if encoding == "hex" else series
        if not decoded.bin.encode(encoding).eq_missing(written).all():
            return None
        return decoded.to_arrow().cast(pa.binary())

    return with_rules(Reader(arrow_type(kind), (TEXT,), read, value), column)


def boolean_reader(kind: Type, column: files.Column) -> Reader:
    arrow = arrow_type(kind)
    takes_texts = column.from_text or bool(column.true_words or column.false_words)
    trues, falses = (column.true_words or ("true",)), (column.false_words or ("false",))
    expected = f"a text of {', '.join((*trues, *falses))}" if takes_texts else "boolean"

    def value(raw: Any) -> Any:
        if isinstance(raw, bool):
            return raw
        if takes_texts and isinstance(raw, str) and raw in {*trues, *falses}:
            return raw in trues
        return other_type(raw, expected)

    def read(values: Array) -> Array | None:
        if values.type != TEXT:
            return values
        is_true = pc.is_in(values, value_set=pa.array(trues, TEXT))
        is_false = pc.is_in(values, value_set=pa.array(falses, TEXT))
        if not pc.all(pc.or_(pc.or_(is_true, is_false), pc.is_null(values)), min_count=0).as_py():
            return None
        return pc.if_else(pc.is_null(values), pa.scalar(None, arrow), is_true)

    forms = (arrow, TEXT) if takes_texts else (arrow,)
    return with_rules(Reader(arrow, forms, read, value), column)


def _from_hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if re.fullmatch(f"(?:{_HEX}{{2}})*", text) else None


def _from_base64(text: str) -> bytes | None:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if base64.b64encode(found).decode() == text else None


def _all_match(texts: Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(texts, pattern), min_count=0).as_py() is not False
