"""An operator: runs the `onpoint` command as a program of its own, against a running pipeline."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class CommandResult:
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Operator:
    def __init__(self, environment: dict[str, str]) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ONPOINT_", "PG"))
        }
        self._environment = {**inherited, **environment, "NO_COLOR": "1"}

    async def run(self, *words: str, within_s: float = 120) -> CommandResult:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "console",
            *words,
            cwd=ROOT,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), within_s)
        assert process.returncode is not None
        return CommandResult(process.returncode, out.decode(), err.decode())

    async def dead_letters(self, *filters: str, state: str = "all") -> list[dict[str, Any]]:
        """The dead letters, as `onpoint dlq list --json` lists them."""
        result = await self.run("dlq", "list", "--json", "--state", state, "--limit", "100000", *filters)
        assert result.code == 0, result.err
        found: list[dict[str, Any]] = result.json()
        return found
