"""A DuckDB connection that reads no file, reaches no network, loads no extension and whose settings stay as they are."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

_LOCKED: dict[str, str | bool | int | float | list[str]] = {
    "allow_community_extensions": "false",
    "allow_unsigned_extensions": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "threads": "1",
}
"""One thread: the same rows in the same order give the same result, and other batches keep their core."""


@contextmanager
def locked_connection(memory_bytes: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory of its own, empty. Times are in UTC."""
    connection = duckdb.connect(":memory:", config={**_LOCKED, "memory_limit": f"{memory_bytes // 2**10}KiB"})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()
