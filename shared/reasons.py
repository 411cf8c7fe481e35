from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a row, a batch or a record could not go on. Part of the outside contract."""

    FETCH = "fetch"
    EMPTY = "empty"
    NO_KEY = "no_key"
    TYPE = "type"
    RANGE = "range"
    ENCODING = "encoding"
    NUL = "nul"
    NEW_FIELD = "new_field"
    SCHEMA = "schema"
    CHECKSUM = "checksum"
    OBJECT_MISSING = "object_missing"
    DECODE = "decode"
    VERSION = "version"
    TOO_LARGE = "too_large"
    HANDLER = "handler"
    TRANSFORM = "transform"
    CANCELLED = "cancelled"


_TEXTS: Final[Mapping[str, str]] = {
    Reason.FETCH: "not fetched",
    Reason.EMPTY: "empty",
    Reason.NO_KEY: "without a key",
    Reason.TYPE: "of a wrong type",
    Reason.RANGE: "out of range",
    Reason.ENCODING: "in a broken encoding",
    Reason.NUL: "with a NUL character",
    Reason.NEW_FIELD: "with a field that no column is for",
    Reason.SCHEMA: "not as the table needs them",
    Reason.CHECKSUM: "in a damaged file",
    Reason.OBJECT_MISSING: "in a file that is gone",
    Reason.DECODE: "no JSON",
    Reason.VERSION: "of an unknown version",
    Reason.TOO_LARGE: "too large",
    Reason.HANDLER: "not handled",
    Reason.TRANSFORM: "not transformed",
    Reason.CANCELLED: "cancelled",
}


def reason_text(reason: str) -> str:
    """Ends a number of rows: `of a wrong type (type)`. A reason that is not known stands for itself."""
    words = _TEXTS.get(reason)
    return reason if words is None else words if words == reason else f"{words} ({reason})"
