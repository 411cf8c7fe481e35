from enum import StrEnum


class Reason(StrEnum):
    """Why a row, a batch or a record could not go on. Part of the outside contract."""

    FETCH = "fetch"
    EMPTY = "empty"
    NO_KEY = "no_key"
    TYPE = "type"
    RANGE = "range"
    ENCODING = "encoding"
    NUL = "nul"
    SCHEMA = "schema"
    CHECKSUM = "checksum"
    OBJECT_MISSING = "object_missing"
    DECODE = "decode"
    VERSION = "version"
    TOO_LARGE = "too_large"
    HANDLER = "handler"
    CANCELLED = "cancelled"
