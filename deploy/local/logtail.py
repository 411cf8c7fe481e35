"""Reads the stack's logs for people: the last lines, and those to come."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.local.errors import UnknownNameError
from deploy.local.home import Home
from deploy.local.logfiles import last_lines
from deploy.local.names import CDC_LOGS, LOGS, OBSERVE_LOGS

POLL_S = 0.3
DASK_LOGS = "dask-*.log"


def choose(home: Home, name: str | None) -> dict[str, Path]:
    """The log of that name, or every log there is. Raises `UnknownNameError` naming the choices."""
    dask = sorted(path.stem for path in home.logs.glob(DASK_LOGS))
    optional = (known for known in (*CDC_LOGS, *OBSERVE_LOGS) if home.log_file(known).exists())
    there = (*LOGS, *optional, *dask)
    if name is None:
        return {known: home.log_file(known) for known in there}
    if name not in there:
        raise UnknownNameError(f"there is no log {name!r}: choose one of {', '.join(there)}")
    return {name: home.log_file(name)}


def tail(logs: dict[str, Path], *, lines: int, follow: bool) -> Iterator[str]:
    """The last lines of each log, behind its name where there are several; then what comes, if `follow`."""
    width = max(len(name) for name in logs)
    prefixes = {name: f"{name:<{width}} | " if len(logs) > 1 else "" for name in logs}
    readers = {name: _Reader(path) for name, path in logs.items()}
    for name, path in logs.items():
        yield from (prefixes[name] + line for line in last_lines(path, lines))
    while follow:
        time.sleep(POLL_S)
        for name, reader in readers.items():
            yield from (prefixes[name] + line for line in reader.new_lines())


class _Reader:
    """Whole lines that were appended since the last call; begins anew with a file that was emptied."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def new_lines(self) -> list[str]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._position:
                self._position, self._rest = 0, b""
            file.seek(self._position)
            read = file.read()
        self._position += len(read)
        *whole, self._rest = (self._rest + read).split(b"\n")
        return [line.decode(errors="replace") for line in whole]
