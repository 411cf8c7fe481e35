"""The console for a command's result: as wide as the terminal, and in a pipe wide enough for every name."""

import os
import sys

from rich.console import Console

PIPED = 10_000
"""Columns where stdout is not a terminal; COLUMNS overrides it."""


def stdout() -> Console:
    if os.environ.get("COLUMNS") or sys.stdout.isatty():
        return Console()
    return Console(width=PIPED)
