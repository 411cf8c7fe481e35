"""The help of every command is the agreed one, letter for letter (`tests/support/golden.py`)."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from console.main import app
from tests.support import golden

PROGRAM = "onpoint"
COLUMNS = 100
ELSEWHERE = {
    "COLUMNS": "40",
    "TERM": "dumb",
    "FORCE_COLOR": "1",
    "HOME": "/nowhere",
    "LANG": "de_DE.UTF-8",
    "ONPOINT_HOME": "/nowhere",
    "ONPOINT_DATASETS_DIR": "/nowhere",
}


@cache
def commands() -> tuple[tuple[str, ...], ...]:
    """The words of every command that can be called, groups and the program itself among them."""
    program: Any = get_command(app)
    context = program.make_context(PROGRAM, ["--help"], resilient_parsing=True)

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
            yield from below(command.get_command(context, name), (*words, name))

    return tuple(below(program, ()))


def help_of(words: tuple[str, ...], **environment: str) -> str:
    asked = CliRunner().invoke(
        app, [*words, "--help"], prog_name=PROGRAM, terminal_width=COLUMNS, env=environment
    )
    assert asked.exit_code == 0, asked.output
    return asked.stdout


def test_every_command_has_the_agreed_help() -> None:
    golden.compare_texts("help", {"-".join((PROGRAM, *words)): help_of(words) for words in commands()})


def test_commands_of_commands_are_found() -> None:
    assert {(), ("run",), ("dlq",), ("dlq", "list"), ("topics", "apply"), ("bench", "e2e")} <= set(commands())


@pytest.mark.parametrize("words", commands(), ids="-".join)
def test_help_does_not_depend_on_the_terminal_or_the_environment(words: tuple[str, ...]) -> None:
    assert help_of(words, **ELSEWHERE) == help_of(words)
