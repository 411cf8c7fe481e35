"""Where a command's result is shown: on a terminal as wide as that is, in a pipe with every name whole."""

import os
import sys

from rich.console import Console

PIPED = 10_000
"""Columns of what is no terminal; COLUMNS says otherwise."""


def stdout() -> Console:
    if os.environ.get("COLUMNS") or sys.stdout.isatty():
        return Console()
    return Console(width=PIPED)
