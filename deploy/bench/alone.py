"""A measurement in a process of its own that allocates as the services do: what a page costs is a part of the result."""

import json
import os
import subprocess
import sys
from typing import Any

from deploy.local.environment import ALLOCATORS
from services.processor.adapters.allocator import use_one_allocator


def measure_alone(module: str, rows: int, repeat: int) -> Any:
    """The JSON that `python -m MODULE ROWS REPEAT` prints."""
    command = (sys.executable, "-m", module, str(rows), str(repeat))
    done = subprocess.run(command, env=ALLOCATORS | os.environ, check=True, stdout=subprocess.PIPE)  # noqa: S603 - our own modules
    return json.loads(done.stdout)


def arguments() -> tuple[int, int]:
    """Rows and turns, in such a process."""
    use_one_allocator()
    return int(sys.argv[1]), int(sys.argv[2])
