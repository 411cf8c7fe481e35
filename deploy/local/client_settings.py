"""The settings by which clients find a stack, in a file of its home.

Every command reads it when it starts, so it is read without the models of the stack: they take longer to import than
most commands to run.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from deploy.local.home import Home, write_private
from deploy.local.process_id import ProcessId


@dataclass(frozen=True)
class ClientSettings:
    """What a client of one start of the stack needs."""

    addresses: Mapping[str, str] = field(repr=False)
    """What `onpoint env` prints; secrets are among it."""
    overrides: Mapping[str, str] = field(repr=False)
    """The settings that the services were started with, so that a command decides as they do."""

    def save(self, home: Home) -> None:
        """Write them, readable by the home's owner alone."""
        write_private(
            home.client_file, json.dumps({"addresses": self.addresses, "overrides": self.overrides})
        )

    @classmethod
    def of_running_stack(cls, home: Home) -> Self | None:
        """Those of the home's stack; None where none runs."""
        try:
            process = ProcessId(**json.loads(home.state_file.read_bytes())["supervisor"])
            if process.find() is None:
                return None
            return cls(**json.loads(home.client_file.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def export_lines(environment: Mapping[str, str]) -> str:
    """Lines for `eval` in a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
