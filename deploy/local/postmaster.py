"""Finds the PostgreSQL server of a data folder."""

from pathlib import Path

import psutil


def postmaster_pid(data: Path) -> int | None:
    """The server that works on this data folder, by the file it keeps there; None if there is none."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        # The number may be another's by now; a postmaster works inside its data folder.
        process = psutil.Process(pid)
        return pid if process.name() == "postgres" and Path(process.cwd()) == data.resolve() else None
    except (OSError, ValueError, psutil.Error):
        return None
