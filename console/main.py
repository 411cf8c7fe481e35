"""The `onpoint` command: the table of its commands, and where an error becomes a sentence and an exit code."""

import logging
import os
import re
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from console.cli.errors import FAILED, INTERRUPTED, SUCCESS, WRONG_USE, CommandError, WrongUseError
from console.client.errors import InvalidRequestError
from console.formatting import did_you_mean
from shared.errors import ConfigurationError, OnPointError
from shared.version import CODE_VERSION

DEBUG = "ONPOINT_DEBUG"

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
"""Pydantic would read the metadata of every installed package to find plugins: a tenth of a command's time."""

BENCH = "deploy.bench"
"""Not in the image of the services: the bench starts a local stack of its own."""

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Runs": {
        "run": ("console.cli.run", "Start a run and, if asked, wait for its end"),
        "runs": ("console.cli.runs", "List the latest runs"),
        "status": ("console.cli.runs", "Show one run: its progress or its result"),
        "quarantine": ("console.cli.quarantine", "Show the rows that a run refused, and why"),
        "trace": ("console.cli.trace", "Show where a row is from and what holds it"),
        "replay": ("console.cli.replay", "Do the later stages of a run again, as a new run"),
        "cancel": ("console.cli.cancel", "Cancel a run that goes on"),
        "datasets": ("console.cli.datasets", "List, check and preview the datasets that can be crawled"),
    },
    "Dead letters": {
        "dlq": ("console.cli.dlq.commands", "List, show, replay and discard them"),
    },
    "Change capture": {
        "cdc": ("console.cli.cdc.commands", "Register, watch and prove the capture of row changes"),
    },
    "The stack on this machine": {
        "up": ("console.cli.stack.commands", "Start Kafka, PostgreSQL, S3 and the services"),
        "down": ("console.cli.stack.commands", "Stop all of it"),
        "ps": ("console.cli.stack.commands", "Show what of it runs"),
        "env": ("console.cli.stack.commands", "Print its settings for a shell"),
        "logs": ("console.cli.stack.commands", "Show its logs"),
        "alerts": ("console.cli.stack.alerts", "Show the alerts that fire"),
        "resume": ("console.cli.stack.resume", "Release the brake of a service"),
    },
    "An installation": {
        "topics": ("console.cli.admin", "Create and configure the topics of the bus"),
        "access": ("console.cli.access", "Show the rights of each process, and give those on the bus"),
        "migrate": ("console.cli.admin", "Bring the database up to date"),
        "bench": (f"{BENCH}.commands", "Measure how fast the pipeline is on this machine"),
        "exports": ("console.cli.exports", "Combine the export files of a run"),
        "lake": ("console.cli.lake.commands", "Compact the objects of the lake, and show how they are"),
        "health": ("console.cli.health", "Measure the health of the pipeline"),
        "news": ("console.cli.news.commands", "Try the channels of news, show and send again"),
        "sweep": ("console.cli.sweep", "Remove what nobody needs any more from the object store"),
        "verify": ("console.cli.verify.commands", "Check that everything is where it belongs, once"),
    },
}
"""Every command: the module that registers it, and its line in the overview.

Modules are imported when their command is called, so the overview appears at once whatever a command needs.
"""

COMMANDS = {name: module for section in SECTIONS.values() for name, (module, _) in section.items()}


class _Commands(TyperGroup):
    """Loads commands when they are called, and turns what they raise into a sentence and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        if cmd_name not in COMMANDS:
            raise WrongUseError(f"there is no command {cmd_name}{did_you_mean(cmd_name, COMMANDS)}")
        return load(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        width = max(len(name) for name in COMMANDS)
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in commands.items()])

    def main(self, args: Any = None, *, standalone_mode: bool = True, **options: Any) -> Any:  # type: ignore[override]  # everything by name, which is how typer calls it
        try:
            code = super().main(args, standalone_mode=False, **options)
        except Exception as error:
            if not standalone_mode:
                raise
            code = _report(error)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else SUCCESS)


def load(name: str) -> TyperCommand | TyperGroup:
    """The command, from its module."""
    part = typer.Typer(rich_markup_mode=None)
    _module_of(name).register(part)
    command: TyperCommand | TyperGroup = get_group(part).commands[name]  # type: ignore[assignment]  # typer declares click's base class
    return command


def _module_of(name: str) -> Any:
    try:
        return import_module(COMMANDS[name])
    except ModuleNotFoundError as error:
        if error.name != BENCH:
            raise
        raise CommandError(
            f"{name} is not part of this installation: run it in a checkout of the project"
        ) from error


def _show_version(asked: bool) -> None:
    if asked:
        print(f"onpoint {CODE_VERSION}")
        raise typer.Exit(SUCCESS)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="onpoint COMMAND --help explains a command and shows examples.",
)


@app.callback()
def onpoint(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Crawl, clean, convert, load, store and check data; know when a run is done."""


def main() -> None:
    # The errors that the libraries raise have the text of what they log.
    if not os.environ.get(DEBUG):
        logging.getLogger().addHandler(logging.NullHandler())
    app(prog_name="onpoint")


def _report(error: Exception) -> int:
    """Writes the error to stderr as a sentence; returns the exit code."""
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    if isinstance(error, typer.TyperException):
        return _report_usage(error)
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, OnPointError):
        _write(str(error))
        if isinstance(error, CommandError):
            return error.exit_code
        return WRONG_USE if isinstance(error, ConfigurationError | InvalidRequestError) else FAILED
    _write(f"unexpected {type(error).__name__}: {error} (set {DEBUG}=1 to see where it comes from)")
    return FAILED


def _report_usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if message.startswith("Usage: "):
        sys.stderr.write(f"{message}\n")  # the command was called without anything: this is its help
    else:
        path = context.command_path if context is not None else "onpoint"
        _write(f"{_restyled(message).rstrip('.')} (see `{path} --help`)")
    return error.exit_code


def _restyled(message: str) -> str:
    """The library's message about a call, in the style of the command line."""
    if extra := re.fullmatch(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", message, re.DOTALL):
        return f"more is given than is taken: {extra[1]}"
    return f"{message[:1].lower()}{message[1:]}"


def _write(sentence: str) -> None:
    sys.stderr.write(f"onpoint: {sentence}\n")
