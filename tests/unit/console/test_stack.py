from pathlib import Path

import pytest
from typer.testing import CliRunner

from console.main import app


@pytest.mark.parametrize("words", [["down"], ["down", "--wipe"]])
def test_down_in_a_folder_of_somebody_else_is_one_sentence_and_exit_code_1(
    runner: CliRunner, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "home" / "data").mkdir(parents=True)
    result = runner.invoke(app, words)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "holds other things (data): set ONPOINT_HOME to the stack's own folder" in result.stderr
    assert (tmp_path / "home" / "data").exists()


def test_down_without_a_home_says_that_nothing_was_running(runner: CliRunner) -> None:
    result = runner.invoke(app, ["down"])

    assert (result.exit_code, result.stdout) == (0, "nothing was running\n")
