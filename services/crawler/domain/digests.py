"""Whether a page came before: by its bytes, and by the keys of its first records where those change at each request."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from services.crawler.domain.records import Records, first_lines

KEYS_COMPARED = 32
LEAST_KEYS = 3
"""A page of one or two records may well have the keys of another, as in a list of changes."""

KeyPath = tuple[str, ...]


def digests_of(records: Records, key_paths: Sequence[KeyPath]) -> tuple[str, ...]:
    """The digest of the page's lines, and that of its first keys where it has enough of them."""
    whole = hashlib.sha256(records.data).hexdigest()
    if records.rows < LEAST_KEYS or not key_paths:
        return (whole,)
    keys = _first_keys(records.data, key_paths)
    if len(keys) < LEAST_KEYS:
        return (whole,)
    first_keys = msgspec.json.encode([records.rows, keys])
    return whole, hashlib.sha256(first_keys).hexdigest()


def _first_keys(data: bytes, key_paths: Sequence[KeyPath]) -> list[list[Any]]:
    """Of the first records; none where one cannot be read or has no key."""
    keys = []
    for line in first_lines(data, KEYS_COMPARED):
        try:
            record = msgspec.json.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return []
        key = [_value_at(record, path) for path in key_paths]
        if None in key:
            return []
        keys.append(key)
    return keys


def _value_at(record: Any, path: KeyPath) -> str | int | float | bool | None:
    for step in path:
        if not isinstance(record, dict):
            return None
        record = record.get(step)
    return record if isinstance(record, str | int | float | bool) else None
