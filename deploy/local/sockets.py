"""Where the stack's unix sockets are. Their paths may not exceed about 100 bytes, and a home's may."""

import contextlib
import os
import stat
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.home import Home

MAX_FOLDER_BYTES = 80
SHORT_ROOT = Path("/tmp")  # noqa: S108  (the folder in it is the owner's alone, and refused where it is not)
"""Not the environment's folder of temporary files, which may be as long, and another for the next command."""


def socket_folder(home: Home) -> Path:
    """`run` in the home, or, where that path is too long, a folder of its own below `/tmp`."""
    folder = home.path / "run"
    if len(os.fsencode(folder)) <= MAX_FOLDER_BYTES:
        return folder
    return SHORT_ROOT / f"onpoint-{home.identity}"


def make_socket_folder(home: Home) -> Path:
    """The folder, empty of old sockets and closed to others.

    Raises `StackError` if another user owns it.
    """
    folder = socket_folder(home)
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        raise StackError(f"{folder} belongs to another user: remove it, or choose a shorter ONPOINT_HOME")
    folder.chmod(0o700)
    for old in folder.glob("*.sock"):
        old.unlink()
    return folder


def remove_socket_folder(home: Home) -> None:
    """Take the sockets away, and the folder unless something else is in it."""
    folder = socket_folder(home)
    with contextlib.suppress(OSError):
        if folder.lstat().st_uid != os.geteuid() or folder.is_symlink():
            return
        for old in folder.glob("*.sock"):
            if old.is_socket():
                old.unlink()
        folder.rmdir()
