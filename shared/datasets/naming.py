"""The name of the column for a field of a record. Pure."""

import re

from shared.datasets.column import SYSTEM_COLUMNS
from shared.datasets.lineage import RESERVED_COLUMNS
from shared.datasets.paths import format_path, parse_path

MAX_NAME_CHARS = 63

_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NO_NAME = re.compile(r"[^a-z0-9]+")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def column_name(field: str) -> str | None:
    """`userName` and `User Name` become `user_name`. None: the field makes no name that a column may have."""
    if not field.isascii() or not _can_be_read(field):
        return None
    name = _NO_NAME.sub("_", _WORD_BEGINS.sub("_", field).lower()).strip("_")
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        return None
    return None if name in RESERVED_COLUMNS or name in SYSTEM_COLUMNS else name


def _can_be_read(field: str) -> bool:
    """Whether a path leads to it."""
    try:
        return parse_path(format_path((field,))) == (field,)
    except ValueError:
        return False
