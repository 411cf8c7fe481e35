"""`onpoint lake`: few and large objects instead of many small ones, and how far a dataset is from that."""

import typer

from console.cli.lake.compact import EXAMPLES as COMPACT_EXAMPLES
from console.cli.lake.compact import compact


def register(app: typer.Typer) -> None:
    lake = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    lake.callback()(about)
    lake.command("compact", epilog=COMPACT_EXAMPLES)(compact)
    app.add_typer(lake, name="lake")


def about() -> None:
    """Look after the objects of the lake: how they are, and few large ones instead of many small ones."""
