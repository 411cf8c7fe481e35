"""The `onpoint` command: its wiring, and the one place where an error becomes a sentence and an exit code."""

import os
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from console import admin, stack
from console.errors import FAILED, INTERRUPTED, SUCCESS, WRONG_USE, CommandError
from shared.errors import ConfigurationError, OnPointError

DEBUG = "ONPOINT_DEBUG"


class _Commands(TyperGroup):
    """Turns what a command raises into one sentence on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except OnPointError as error:
            _complain(str(error))
            raise typer.Exit(_exit_code(error)) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(INTERRUPTED) from error
        except Exception as error:
            if isinstance(error, (typer.Exit, typer.Abort, typer.TyperException)):
                raise  # these carry their own message and code
            if os.environ.get(DEBUG):
                traceback.print_exc()
            _complain(f"{type(error).__name__}: {error} (set {DEBUG}=1 to see where it comes from)")
            raise typer.Exit(FAILED) from error


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        try:
            print(f"onpoint {version('onpoint')}")
        except PackageNotFoundError:
            print("onpoint (not installed)")
        raise typer.Exit(SUCCESS)


@app.callback()
def onpoint(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Crawl, clean, convert, load, store and check data; know when a run is done."""


stack.register(app)
admin.register(app)


def main() -> None:
    app(prog_name="onpoint")


def _complain(sentence: str) -> None:
    sys.stderr.write(f"onpoint: {sentence}\n")


def _exit_code(error: OnPointError) -> int:
    if isinstance(error, CommandError):
        return error.exit_code
    return WRONG_USE if isinstance(error, ConfigurationError) else FAILED
