"""Options and arguments that several commands have."""

from typing import Annotated

import typer

from console.cli.errors import WrongUseError

RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run.", show_default=False)]

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end and show the result.")]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", min=0.1, help="Seconds to wait at most; the run goes on."),
]
ResultAsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON: run.completed's value, or the run id without --wait.")
]
ArrayAsJson = Annotated[bool, typer.Option("--json", help="A JSON array for programs.")]
ObjectAsJson = Annotated[bool, typer.Option("--json", help="A JSON object for programs.")]


def require_wait(timeout: float | None, *, wait: bool) -> None:
    """Raises `WrongUseError` for a timeout without a wait."""
    if timeout is not None and not wait:
        raise WrongUseError("--timeout is of use only with --wait")
