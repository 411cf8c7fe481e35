import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from console.cli.stack.commands import kept_settings
from console.main import app
from deploy.local import launcher
from deploy.local.environment import mark_of
from deploy.local.home import Home
from deploy.local.names import SUPERVISOR
from deploy.local.process_id import ProcessId
from deploy.local.state import Phase, StackState


@pytest.mark.parametrize("words", [["down"], ["down", "--wipe"]])
def test_down_in_a_folder_that_is_not_a_home_is_one_sentence_and_exit_code_1(
    runner: CliRunner, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "home" / "data").mkdir(parents=True)
    result = runner.invoke(app, words)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "holds other things (data): set ONPOINT_HOME to the stack's own folder" in result.stderr
    assert (tmp_path / "home" / "data").exists()


def test_down_without_a_home_reports_that_nothing_was_running(runner: CliRunner) -> None:
    result = runner.invoke(app, ["down"])

    assert (result.exit_code, result.stdout) == (0, "nothing was running\n")


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[ProcessId]:
    """A process that carries the mark of the home's supervisor."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(
        command, env={**os.environ, **mark_of(Home(tmp_path / "home"), SUPERVISOR)}
    ) as process:
        found = ProcessId.of(process.pid)
        assert found is not None
        yield found
        process.kill()


def interrupted_up(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `up` writes to stderr after Ctrl-C while the start is prepared."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launcher, "is_running", interrupt)
    result = runner.invoke(app, ["up"])
    assert result.exit_code == 130
    return result.stderr


def test_ctrl_c_before_there_is_a_supervisor_reports_that_nothing_was_started(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert interrupted_up(runner, monkeypatch) == "nothing was started\n"


@pytest.mark.parametrize(
    ("phase", "goes_on"), [(None, True), ("starting", True), ("ready", True), ("stopping", False)]
)
def test_ctrl_c_reports_whether_a_supervisor_goes_on(
    runner: CliRunner,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    supervisor: ProcessId,
    phase: Phase | None,
    goes_on: bool,
) -> None:
    if phase is not None:
        (tmp_path / "home").mkdir()
        StackState(supervisor=supervisor, phase=phase).save(Home(tmp_path / "home"))

    assert ("goes on starting: stop it with" in interrupted_up(runner, monkeypatch)) is goes_on


def test_a_running_stack_names_the_settings_that_the_caller_changed() -> None:
    assert kept_settings({"ONPOINT_A": "1"}, {"ONPOINT_A": "1"}) is None
    assert (
        kept_settings({"ONPOINT_A": "1", "ONPOINT_SOURCE_X_URL": "http://here"}, {"ONPOINT_A": "1"}) is None
    )
    assert kept_settings({}, {"ONPOINT_B": "1", "ONPOINT_A": "2"}) == (
        "it keeps the settings it was started with; `onpoint down`, then `onpoint up` changes ONPOINT_A, ONPOINT_B"
    )


def test_a_new_start_drops_what_is_not_set_any_more() -> None:
    line = kept_settings({"ONPOINT_SOURCE_X_URL": "http://here"}, {"ONPOINT_DATASETS_DIR": "/mine"})

    assert line is not None
    assert line.endswith("changes ONPOINT_DATASETS_DIR, and drops ONPOINT_SOURCE_X_URL, not set here")
