"""The user that PostgreSQL runs as, and where that user's files can be. It refuses to run as root."""

import hashlib
import json
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.home import Home, write_private
from deploy.local.postmaster import postmaster_pid

SYSTEM_FOLDER = Path("/var/lib/onpoint")
"""Where root puts what cannot be in the home because PostgreSQL's user cannot reach it."""

TEMPORARY_PREFIX = "onpoint-"
"""Of the names of such folders where that one cannot be made: they are among the temporary files."""

OWNER = "home"
"""File in such a folder that names the home, or the programs, that it stands for."""


@dataclass(frozen=True)
class Account:
    """A user of the system, other than the one who runs the stack."""

    name: str
    uid: int
    gid: int


def postgres_account() -> Account | None:
    """The user that root starts PostgreSQL as; None for an ordinary user, who starts it as oneself."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL does not run as root and there is no user `postgres` or `nobody`: "
        "add one, or start the stack as an ordinary user"
    )


def is_passable(folder: Path, account: Account) -> bool:
    """Whether the account may go through `folder` and its parents, as far as they exist.

    By their mode bits alone.
    """
    resolved = folder.resolve()
    return all(_may_pass(part.stat(), account) for part in (resolved, *resolved.parents) if part.exists())


def data_folder(home: Home, account: Account | None) -> Path:
    """Where PostgreSQL's data goes.

    In the home, or in a folder that the home records if the account cannot reach it there.
    """
    wanted = home.data / "postgres"
    if account is None or (is_passable(home.data, account) and not home.places_file.exists()):
        return wanted
    recorded = recorded_place(home)
    if recorded is not None and recorded.exists():
        return recorded / "postgres"
    _remove_lost_places()
    place = SYSTEM_FOLDER / home.identity
    # The home that knew this folder's password is gone, so its data cannot be used any more.
    shutil.rmtree(place, ignore_errors=True)
    place = _make_place(place)
    (place / OWNER).write_text(str(home.path))
    write_private(home.places_file, json.dumps({"postgres": str(place)}))
    return place / "postgres"


def recorded_place(home: Home) -> Path | None:
    """The folder outside the home that belongs to it, if there is one."""
    if not home.places_file.exists():
        return None
    return Path(json.loads(home.places_file.read_text())["postgres"])


def remove_place(home: Home) -> None:
    """Remove that folder with its data, if it is one that this program has made for the home."""
    place = recorded_place(home)
    if place is not None and _is_made_for(home, place):
        shutil.rmtree(place, ignore_errors=True)


def reachable_programs(programs: Path, account: Account | None) -> Path:
    """`programs`, or a copy of it where the account can run it.

    There is one copy for each such folder, for as long as that is there.
    """
    if account is None or is_passable(programs, account):
        return programs
    digest = hashlib.sha256(str(programs.resolve()).encode()).hexdigest()[:16]
    target = SYSTEM_FOLDER / f"programs-{digest}"
    if target.exists():
        return target
    return _copy(programs, target)


def _remove_lost_places() -> None:
    """Remove what stands for deleted homes and checkouts, such as those of tests."""
    for owner in SYSTEM_FOLDER.glob(f"*/{OWNER}"):
        lost = not Path(owner.read_text()).exists()
        if lost and postmaster_pid(owner.parent / "postgres") is None:
            shutil.rmtree(owner.parent, ignore_errors=True)


def _copy(programs: Path, target: Path) -> Path:
    place = _make_place(target.with_name(f".{target.name}.{os.getpid()}"))
    shutil.copytree(programs, place, symlinks=True, dirs_exist_ok=True)
    (place / OWNER).write_text(str(programs))
    if place.parent != target.parent:
        return place
    place.rename(target)
    return target


def _is_made_for(home: Home, place: Path) -> bool:
    if place != SYSTEM_FOLDER / home.identity and not place.name.startswith(TEMPORARY_PREFIX):
        return False
    try:
        status = place.lstat()
        owner = Home(Path((place / OWNER).read_text())).identity
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and owner == home.identity


def _make_place(place: Path) -> Path:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        place = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))
    place.chmod(0o711)
    if place.parent == SYSTEM_FOLDER:
        SYSTEM_FOLDER.chmod(0o711)
    return place


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
