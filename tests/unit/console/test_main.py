import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.main import get_group
from typer.testing import CliRunner

from console import main
from console.cli.errors import CommandError
from console.main import COMMANDS, SECTIONS, app
from shared.errors import ConfigurationError
from shared.version import CODE_VERSION

ROOT = Path(__file__).parents[3]

LIBRARIES = (
    "aioboto3",
    "aiohttp",
    "aiokafka",
    "asyncpg",
    "botocore",
    "faststream",
    "numpy",
    "obstore",
    "polars",
    "prometheus_client",
    "pyarrow",
    "pydantic",
    "rich",
    "shared.events.models",
    "structlog",
    "yaml",
    "zstandard",
)
"""What takes long to import. A command imports what it needs, when it needs it."""

GROUPS = {
    "access": ("show", "apply", "buckets", "grants"),
    "cdc": ("register", "restart", "remove", "status", "verify", "resnapshot"),
    "lake": ("status", "compact", "ddl"),
    "bench": ("cdc", "convert", "e2e", "grow", "lake", "process"),
    "exports": ("combine",),
    "dlq": ("list", "show", "replay", "discard"),
    "topics": ("apply",),
}
"""Commands that have commands."""

DATABASE = "postgresql://me:secret@127.0.0.1:1/x"
"""Connections there are refused at once; by then the command has imported what it needs."""


def loaded_by(*words: str, **environment: str) -> set[str]:
    """The libraries that a command in a process of its own has imported when it ends."""
    code = (
        f"import sys\nfrom console.main import app\ntry:\n    app({list(words)!r})\nexcept SystemExit:\n    pass\n"
        f"print(*(name for name in {LIBRARIES!r} if name in sys.modules), sep=',')"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    ).stdout
    return set(filter(None, shown.splitlines()[-1].split(",")))


def test_the_overview_imports_nothing_that_takes_long() -> None:
    assert loaded_by("--help") == set()


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["runs"], {"asyncpg", "pydantic", "rich"}),
        (["status", "r1"], {"asyncpg", "pydantic", "rich"}),
        (["replay", "r1", "--from", "loader"], {"asyncpg", "pydantic", "aiokafka"}),
        (["quarantine", "r1"], {"asyncpg", "pydantic", "obstore", "rich", "zstandard"}),
        (["datasets"], {"pydantic", "rich", "shared.events.models", "yaml"}),
        (["cancel", "r1"], {"asyncpg", "obstore", "pydantic"}),
        (["dlq", "list"], {"aiokafka", "asyncpg", "pydantic", "rich"}),
        (["ps"], {"rich"}),
        (["env"], {"rich"}),
    ],
)
def test_a_command_imports_what_it_needs_and_nothing_else_that_takes_long(
    words: list[str], needed: set[str]
) -> None:
    settings = {
        "ONPOINT_POSTGRES_DSN": DATABASE,
        "ONPOINT_STAGING_BUCKET": "staging",
        "ONPOINT_LAKE_BUCKET": "the-lake",
        "ONPOINT_S3_ENDPOINT_URL": "http://127.0.0.1:1",
    }
    assert loaded_by(*words, **settings) <= needed


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"verify"}))
def test_help_of_a_command_imports_no_client_of_the_data(name: str) -> None:
    assert not loaded_by(name, "--help") & {"aioboto3", "aiohttp", "botocore", "numpy", "polars", "pyarrow"}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(runner: CliRunner, name: str) -> None:
    result = runner.invoke(app, [name, "--help"])

    assert result.exit_code == 0
    assert "Usage: " in result.stdout


@pytest.mark.parametrize(
    "words",
    [[name] for name in sorted(COMMANDS.keys() - GROUPS.keys() - {"verify"})]
    + [[group, name] for group, names in GROUPS.items() for name in names],
)
def test_help_has_examples_and_fits_eighty_columns(runner: CliRunner, words: list[str]) -> None:
    result = runner.invoke(app, [*words, "--help"])

    assert "Example" in result.stdout
    assert f"onpoint {' '.join(words)}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_the_overview_names_exactly_the_commands_that_the_modules_register() -> None:
    registered = set()
    for module in set(COMMANDS.values()):
        part = typer.Typer()
        import_module(module).register(part)
        registered |= set(get_group(part).commands)

    assert registered == {name for section in SECTIONS.values() for name in section}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["stauts"], "there is no command stauts; did you mean status?"),
        (["run", "--wiat"], "no such option: --wiat"),
        (["run", "post"], "there is no dataset post; did you mean posts or photos?"),
        (["run", "--formats", "cvs"], "there is no format 'cvs'; did you mean csv?"),
        (
            ["run", "posts", "--limit", "posts"],
            "--limit posts is not understood: write DATASET=N, for example posts=100",
        ),
        (["run", "users", "--limit", "posts=1"], "--limit posts=1: dataset posts is not part of this run"),
        (["run", "--run-id", "a b"], "'a b' cannot be a run id"),
        (["run", "--timeout", "5"], "--timeout is of use only with --wait"),
        (["run", "--wait", "--timeout", "0"], "--timeout"),
        (["run"], "no stack is running here: start one with `onpoint up`"),
        (["run", "--all"], "no stack is running here: start one with `onpoint up`"),
        (["run", "posts", "--all"], "name datasets or write --all, not both"),
        (["quarantine"], "missing argument 'RUN'"),
        (["quarantine", "r1"], "no stack is running here: start one with `onpoint up`"),
        (["quarantine", "r1", "--reason", "typ"], "there is no reason typ; did you mean type?"),
        (["quarantine", "r1", "--json", "--csv"], "--json and --csv cannot both be given"),
        (["quarantine", "r1", "--limit", "0"], "--limit"),
        (["runs", "a", "b"], "more is given than is taken: a b (see `"),
        (["status", "a", "b"], "more is given than is taken: b (see `"),
        (["runs"], "no stack is running here: start one with `onpoint up`"),
        (["status"], "missing argument"),
        (["replay", "r1", "--from", "lader"], "a replay cannot begin at lader; did you mean loader?"),
        (["replay", "r1", "--from", "crawler"], "a replay cannot begin at crawler"),
        (["replay", "r1", "--from", "loader"], "no stack is running here"),
        (["cancel", "r1"], "no stack is running here"),
        (["cancel", "r1", "--timeout", "1"], "--timeout is of use only with --wait"),
        (["dlq", "list"], "no stack is running here"),
        (["dlq", "list", "--state", "opn"], "there is no state opn; did you mean open?"),
        (["dlq", "list", "--reason", "checksm"], "there is no reason checksm; did you mean checksum or"),
        (["dlq", "show", "42"], "'42' names no dead letter: write SERVICE:PARTITION:OFFSET"),
        (["dlq", "replay"], "which dead letters? name some, as in `onpoint dlq replay loader:3:42`"),
        (["dlq", "replay", "loader:1:2", "--all"], "name dead letters or filter them, not both"),
        (["dlq", "replay", "--all", "--rate", "fast"], "--rate fast is not understood: write N/s"),
        (["dlq", "discard", "loader:1:2"], "missing option '--reason'"),
        (["dlq", "discard", "loader:1:2", "--reason", " "], "--reason must give the reason"),
        (["dlq", "discard", "--all", "--reason", "checksum"], "by their code, write --code checksum"),
        (["resume", "lodaer"], "there is no service lodaer; did you mean loader?"),
        (["sweep"], "no stack is running here"),
        (["topics", "aply"], "no such command 'aply'"),
        (["migrate"], "no stack is running here"),
    ],
)
def test_wrong_use_is_one_sentence_on_stderr_and_exit_code_2(
    runner: CliRunner, words: list[str], sentence: str
) -> None:
    result = runner.invoke(app, words)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("onpoint: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_command_that_the_image_leaves_out_is_told(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "BENCH", "deploy.absent")
    monkeypatch.setitem(COMMANDS, "bench", "deploy.absent.commands")

    result = runner.invoke(app, ["bench", "e2e"])

    assert result.exit_code == 1
    assert (
        result.stderr
        == "onpoint: bench is not part of this installation: run it in a checkout of the project\n"
    )


def test_onpoint_alone_shows_its_help(runner: CliRunner) -> None:
    result = runner.invoke(app, [])

    assert "Usage: onpoint" in result.output.replace("Usage: root", "Usage: onpoint")
    assert "Runs:" in result.output


def test_the_version_is_told(runner: CliRunner) -> None:
    result = runner.invoke(app, ["--version"])

    assert result.exit_code == 0
    assert result.stdout == f"onpoint {CODE_VERSION}\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (CommandError("it did not work"), 1, "onpoint: it did not work\n"),
        (ConfigurationError("ONPOINT_X: must be a number"), 2, "onpoint: ONPOINT_X: must be a number\n"),
        (
            ValueError("oops"),
            1,
            "onpoint: unexpected ValueError: oops (set ONPOINT_DEBUG=1 to see where it comes from)\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_a_sentence_and_an_exit_code(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    monkeypatch.setattr(main, "load", lambda _: _raising(error))

    result = runner.invoke(app, ["runs"])

    assert (result.exit_code, result.stderr) == (code, text)


def test_the_traceback_is_shown_to_who_asks_for_it(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONPOINT_DEBUG", "1")
    monkeypatch.setattr(main, "load", lambda _: _raising(ValueError("oops")))

    assert "Traceback" in runner.invoke(app, ["runs"]).stderr


def _raising(error: BaseException) -> object:
    part = typer.Typer(rich_markup_mode=None)

    @part.command()
    def runs() -> None:
        raise error

    @part.command()
    def other() -> None:
        pass

    return get_group(part).commands["runs"]
