"""What `onpoint ps` shows: the recorded state, checked against the processes that really run."""

from dataclasses import asdict, dataclass

import psutil

from deploy.local.home import Home
from deploy.local.names import Kind, State
from deploy.local.state import ChildState, StackState


@dataclass(frozen=True)
class Row:
    """One component or service; the fields are the JSON contract of `onpoint ps --json`."""

    name: str
    kind: Kind
    pid: int | None
    port: int
    state: State
    restarts: int
    rss_bytes: int

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def rows(home: Home) -> list[Row]:
    """A row for each part of the stack, none when it is down.

    Where the supervisor was killed, its orphans are shown for as long as one of them runs.
    """
    state = StackState.load(home)
    if state is None:
        return []
    found = [_row(child) for child in state.children]
    supervised = state.supervisor.find() is not None
    return found if supervised or any(row.pid for row in found) else []


def _row(child: ChildState) -> Row:
    process = child.process.find() if child.process else None
    gone = process is None and child.state == "ready"
    return Row(
        name=child.name,
        kind=child.kind,
        pid=process.pid if process else None,
        port=child.port,
        state="restarting" if gone else child.state,
        restarts=child.restarts,
        rss_bytes=_resident_bytes(process) if process else 0,
    )


def _resident_bytes(process: psutil.Process) -> int:
    """Memory of the process and its children; what children share (PostgreSQL's buffers) counts once."""
    try:
        total = int(process.memory_info().rss)
        for child in process.children(recursive=True):
            memory = child.memory_info()
            total += max(0, memory.rss - getattr(memory, "shared", 0))
    except psutil.Error:
        return 0
    return total
