"""Values of JSON as they were written, for columns that need them so."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import msgspec
import pyarrow as pa

_Path = tuple[str, ...]


class RawValues:
    """Takes the values at some paths out of lines, and passes over the rest. One object per line is made."""

    def __init__(self, paths: Mapping[int, _Path]) -> None:
        self._names = {place: _names_of(path, list(paths.values())) for place, path in paths.items()}
        self._decoder = msgspec.json.Decoder(_record(list(paths.values()))) if paths else None

    def read(self, data: bytes, lines: int) -> "dict[int, pa.Array[Any]] | None":
        """By target, null where a record has none; None if a line is doubtful."""
        if self._decoder is None:
            return {}
        decode = self._decoder.decode
        try:
            records = [decode(line) for line in data.split(b"\n")[:lines]]
        except (msgspec.DecodeError, RecursionError):
            return None
        return {
            place: pa.array([_raw(reduce(_part, names, record)) for record in records], pa.binary())
            for place, names in self._names.items()
        }


def _record(paths: list[_Path]) -> Any:
    fields: list[tuple[str, Any, Any]] = []
    keys = _keys(paths)
    for place, key in enumerate(keys):
        deeper = _behind(key, paths)
        fields.append((_field(place), _record(deeper) | None if deeper else msgspec.Raw, None))
    rename = {_field(place): key for place, key in enumerate(keys)}
    return msgspec.defstruct("Record", fields, rename=rename)


def _names_of(path: _Path, paths: list[_Path]) -> list[str]:
    """The path in the fields of `_record`."""
    names = []
    for key in path:
        names.append(_field(_keys(paths).index(key)))
        paths = _behind(key, paths)
    return names


def _keys(paths: list[_Path]) -> list[str]:
    return list(dict.fromkeys(path[0] for path in paths))


def _behind(key: str, paths: list[_Path]) -> list[_Path]:
    return [path[1:] for path in paths if path[0] == key and len(path) > 1]


def _field(place: int) -> str:
    return f"f{place}"


def _part(record: Any, name: str) -> Any:
    return None if record is None else getattr(record, name)


def _raw(value: Any) -> bytes | None:
    return None if value is None or (raw := bytes(value)) == b"null" else raw
