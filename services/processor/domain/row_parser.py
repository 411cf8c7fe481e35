"""One line, exactly: its values, or the reason and the text of its refusal."""

import json
from dataclasses import dataclass
from typing import Any

from services.processor.domain.numbers import Numeral
from services.processor.domain.parse_schema import MAX_KEY_BYTES, ParseSchema, Target
from services.processor.domain.readers.naming import name_of
from services.processor.domain.readers.reader import Refusal
from services.processor.domain.unmapped_fields import count_unnamed
from shared.datasets.paths import format_path
from shared.reasons import Reason

MAX_FIELD_CHARS = 200


@dataclass(frozen=True, slots=True)
class Row:
    values: tuple[Any, ...]
    """In the order of the parse_schema's targets."""
    ignored: int


@dataclass(frozen=True, slots=True)
class RejectedLine:
    reason: Reason
    detail: str
    is_placeholder: bool = False
    """The line is `null`: the requests log knows why."""


class NestedTooDeepError(ValueError):
    """Deeper than Python's parser goes."""


def read_line(line: bytes, parse_schema: ParseSchema) -> Row | RejectedLine:
    """Raises `NestedTooDeepError`."""
    record = _decode(line)
    if isinstance(record, RejectedLine):
        return record
    if (refusal := _no_record(record, parse_schema)) is not None:
        return refusal
    values = []
    for target in parse_schema.targets:
        value = _value(record, target)
        if isinstance(value, RejectedLine):
            return value
        values.append(value)
    key_bytes = sum(len(values[place].encode()) for place in parse_schema.key_texts)
    if key_bytes > MAX_KEY_BYTES:
        return RejectedLine(
            Reason.TOO_LARGE,
            f"the texts of its key have {key_bytes} bytes, at most {MAX_KEY_BYTES} are taken",
        )
    return Row(tuple(values), count_unnamed(record, parse_schema.tree))


def _no_record(record: Any, parse_schema: ParseSchema) -> RejectedLine | None:
    """Why the value cannot be a record of the dataset; None: its columns decide."""
    if record is None:
        return RejectedLine(Reason.EMPTY, "the record is null", is_placeholder=True)
    if not isinstance(record, dict):
        return RejectedLine(Reason.TYPE, f"{name_of(record)} where an object is expected")
    if parse_schema.known is not None and (new := _new_field(record, parse_schema)) is not None:
        field = format_path((new,))[:MAX_FIELD_CHARS]
        return RejectedLine(Reason.NEW_FIELD, f"{field}: no column is for this field")
    return None


def _new_field(record: dict[str, Any], parse_schema: ParseSchema) -> str | None:
    """The first field at the top with a value that no column is for."""
    return next(
        (name for name, value in record.items() if value is not None and name not in parse_schema.tree), None
    )


def _decode(line: bytes) -> Any:
    if b"\0" in line:
        return RejectedLine(Reason.NUL, "the line contains a NUL byte")
    try:
        return _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        return RejectedLine(Reason.ENCODING, f"not UTF-8: {error.reason} at byte {error.start}")
    except RecursionError as error:
        raise NestedTooDeepError(str(error)) from error
    except ValueError as error:
        return RejectedLine(Reason.DECODE, f"not JSON: {error}")


def _value(record: dict[str, Any], target: Target) -> Any:
    """What the column gets, None for null and missing, or the refusal."""
    value: Any = record
    for depth, key in enumerate(target.path):
        if value == []:  # an empty object, as PHP writes it
            value = None
            break
        if not isinstance(value, dict):
            path = format_path(target.path[:depth])
            return RejectedLine(Reason.TYPE, f"{path}: {name_of(value)} where an object is expected")
        value = value.get(key)
        if value is None:
            break
    if value is None:
        return (
            RejectedLine(Reason.NO_KEY, f"key column {target.name} has no value") if target.is_key else None
        )
    read = target.reader.value(value)
    if isinstance(read, Refusal):
        return RejectedLine(read.reason, f"{target.name}: {read.detail}")
    if read is None and target.is_key:
        return RejectedLine(Reason.NO_KEY, f"key column {target.name} has no value")
    return read


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_int=Numeral, parse_float=Numeral, parse_constant=_refuse_constant)
