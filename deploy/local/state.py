"""What the supervisor knows of its processes, in a file: anyone can read it and clean up without the
supervisor.
"""

from typing import Literal

import msgspec

from deploy.local.home import Home, write_private
from deploy.local.names import Kind, State
from deploy.local.process_id import ProcessId

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]


class ChildState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One component or service."""

    name: str
    kind: Kind
    port: int
    state: State = "starting"
    restarts: int = 0
    process: ProcessId | None = None


class StackState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole stack, as of the last change."""

    supervisor: ProcessId
    phase: Phase = "starting"
    error: str | None = None
    """Why the phase is `failed`."""
    steps: list[str] = []
    """The one-time programs that have succeeded, in order."""
    warnings: list[str] = []
    """What the stack goes on without: dataset files that cannot be used."""
    children: list[ChildState] = []

    def save(self, home: Home) -> None:
        write_private(home.state_file, msgspec.json.format(msgspec.json.encode(self), indent=2).decode())

    @classmethod
    def load(cls, home: Home) -> "StackState | None":
        """The recorded state, None if there is none that we understand.

        Whether it is still true only `supervisor.find()` can tell.
        """
        try:
            return msgspec.json.decode(home.state_file.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError):
            return None

    def child(self, name: str) -> ChildState | None:
        return next((child for child in self.children if child.name == name), None)


def running_state(home: Home) -> StackState | None:
    """The state of the home's stack if its supervisor runs, else None."""
    state = StackState.load(home)
    return state if state is not None and state.supervisor.find() is not None else None
