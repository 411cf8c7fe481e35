"""What the supervisor knows of its processes, in a file: anyone can read it and clean up without the
supervisor.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from deploy.local.home import Home, write_private
from deploy.local.names import Kind, State
from deploy.local.process_id import ProcessId

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]


class ChildState(BaseModel):
    """One component or service."""

    model_config = ConfigDict(extra="forbid")

    name: str
    kind: Kind
    port: int
    state: State = "starting"
    restarts: int = 0
    process: ProcessId | None = None


class StackState(BaseModel):
    """The whole stack, as of the last change."""

    model_config = ConfigDict(extra="forbid")

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
        write_private(home.state_file, self.model_dump_json(indent=2))

    @classmethod
    def load(cls, home: Home) -> "StackState | None":
        """The recorded state, None if there is none that we understand.

        Whether it is still true only `supervisor.find()` can tell.
        """
        try:
            return cls.model_validate_json(home.state_file.read_text())
        except (OSError, ValidationError):
            return None

    def child(self, name: str) -> ChildState | None:
        return next((child for child in self.children if child.name == name), None)


def running_state(home: Home) -> StackState | None:
    """The state of the home's stack if its supervisor runs, else None."""
    state = StackState.load(home)
    return state if state is not None and state.supervisor.find() is not None else None
