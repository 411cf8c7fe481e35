"""The folder of a process for objects that are not whole yet; what a killed process left is removed by the next one."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PREFIX: Final = "onpoint-cdc-"
LOCK: Final = "lock"
UNLOCKED_S = 3600.0
"""A folder without a lock is left alone for so long: its process may be about to take it."""


@contextmanager
def scratch_room(parent: Path | None = None) -> Iterator[Path]:
    """A folder below `parent`, the system's for temporary files where absent; gone afterwards.

    Folders there whose processes ended without removing them go first; one that a living process has stays. Raises
    `OSError`.
    """
    parent = parent or Path(tempfile.gettempdir())
    clear(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def clear(parent: Path) -> list[Path]:
    """Removes what no living process of this user has; returns it."""
    left = [folder for folder in sorted(parent.glob(f"{PREFIX}*")) if _is_left(folder)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return left


def _is_left(folder: Path) -> bool:
    try:
        found = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or found.st_uid != os.getuid():
            return False
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return time.time() - found.st_mtime > UNLOCKED_S
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
