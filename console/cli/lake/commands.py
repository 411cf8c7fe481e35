"""`onpoint lake`: few and large objects instead of many small ones, and how far a dataset is from that."""

import typer

from console.cli.lake.compact import EXAMPLES as COMPACT_EXAMPLES
from console.cli.lake.compact import compact
from console.cli.lake.ddl import EXAMPLES as DDL_EXAMPLES
from console.cli.lake.ddl import ddl
from console.cli.lake.status import EXAMPLES as STATUS_EXAMPLES
from console.cli.lake.status import status

EXAMPLES = """\b
Examples:
  onpoint lake status
  onpoint lake compact --dry-run
  onpoint lake ddl posts --for duckdb
"""


def register(app: typer.Typer) -> None:
    lake = typer.Typer(no_args_is_help=True, rich_markup_mode=None, epilog=EXAMPLES)
    lake.callback()(about)
    lake.command("status", epilog=STATUS_EXAMPLES)(status)
    lake.command("compact", epilog=COMPACT_EXAMPLES)(compact)
    lake.command("ddl", epilog=DDL_EXAMPLES)(ddl)
    app.add_typer(lake, name="lake")


def about() -> None:
    """Look after the objects of the lake: how they are, and few large ones instead of many small ones."""
