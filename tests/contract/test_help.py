"""The help of every command is the agreed one, to the byte (`tests/support/golden.py`)."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from console.main import app
from tests.support import golden
from tests.support.records import ROOT

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
    "PYTHONPATH": str(ROOT),
}


def commands() -> list[tuple[str, ...]]:
    """The words of every command that can be called, groups and the program itself among them."""
    program: Any = get_command(app)
    context = program.make_context(PROGRAM, ["--help"], resilient_parsing=True)

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
            yield from below(command.get_command(context, name), (*words, name))

    return list(below(program, ()))


def help_of(words: tuple[str, ...]) -> str:
    asked = CliRunner().invoke(app, [*words, "--help"], prog_name=PROGRAM, terminal_width=COLUMNS)
    assert asked.exit_code == 0, asked.output
    return asked.stdout


def help_of_every_command() -> dict[str, str]:
    return {"-".join((PROGRAM, *words)): help_of(words) for words in commands()}


def test_every_command_has_the_agreed_help() -> None:
    golden.compare_texts("help", help_of_every_command())


def test_commands_of_commands_are_found() -> None:
    assert {(), ("run",), ("dlq",), ("dlq", "list"), ("topics", "apply"), ("bench", "e2e")} <= set(commands())


def test_help_does_not_depend_on_the_terminal_the_environment_or_the_folder(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.contract.test_help"]
    told = subprocess.run(program, cwd=tmp_path, env=ELSEWHERE, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == help_of_every_command()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(help_of_every_command()))
