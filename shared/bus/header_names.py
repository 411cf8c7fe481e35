"""Header names that are not UTF-8: some clients write them, and Kafka accepts them.

aiokafka's decoder raises at such a name whenever it meets it: the partition would stand still for ever, without a log line.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


def take_any() -> None:
    """From now on every consumer of this process reads such a name as Java's client does, with U+FFFD for each odd byte.

    Values stay as they are. Records without such a name cost as before. Safe to repeat.
    """
    fetcher.MemoryRecords = _Records


class _Records(_MemoryRecordsPy):  # type: ignore[misc]  # final for its author's type checker only
    """What one fetch brought from a partition."""

    def next_batch(self) -> Any:
        data = self._next_slice
        batch = super().next_batch()
        return _Batch(batch, data) if batch is not None and batch.magic >= 2 else batch  # noqa: PLR2004 - the first format with headers


class _Batch:
    """A batch as aiokafka's fast decoder reads it, or, where a name stops that, its slow one."""

    def __init__(self, fast: Any, data: memoryview) -> None:
        self._fast = fast
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fast, name)

    def __next__(self) -> Any:
        return next(self._fast)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._fast))
        except UnicodeDecodeError:
            return iter(_Readable(self._data))


class _Readable(_DefaultRecordBatchPy):  # type: ignore[misc]  # as _Records
    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Bytes(self._buffer)  # type: ignore[has-type]  # set by its base


class _Bytes(bytearray):
    """Of these the decoder makes text only for names."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Bytes(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
