"""The logs of the stack's processes: bounded files, read from their ends."""

import os
import shutil
from collections import deque
from pathlib import Path

MAX_LOG_BYTES = 32 * 1024 * 1024
"""A log that grew beyond this becomes `<name>.log.1`, so a process keeps twice this at most."""
TAIL_BLOCK_BYTES = 64 * 1024


def bound(folder: Path) -> None:
    """Turn over every log that is too large.

    Processes append to their logs themselves (a log must not depend on the supervisor's life), so the file is
    copied and emptied; lines written between the two are lost.
    """
    for path in folder.glob("*.log"):
        if path.stat().st_size > MAX_LOG_BYTES:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            path.with_suffix(".log.1").chmod(0o600)
            os.truncate(path, 0)


def size_of(path: Path) -> int:
    """How many bytes a log has by now; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def last_lines(path: Path, count: int, *, since: int = 0) -> list[str]:
    """The last `count` lines, fewer if the file is shorter or absent. Reads only the end of the file.

    With `since`, only what was written after the log had that size.
    """
    if count <= 0 or not path.exists():
        return []
    blocks: deque[bytes] = deque()
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        newlines = 0
        # A log that was turned over is shorter than it was: all of it is new.
        first = since if since <= position else 0
        while position > first and newlines <= count:
            size = min(TAIL_BLOCK_BYTES, position - first)
            position -= size
            file.seek(position)
            blocks.appendleft(file.read(size))
            newlines += blocks[0].count(b"\n")
    return b"".join(blocks).decode(errors="replace").splitlines()[-count:]
