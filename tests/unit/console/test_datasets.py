import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from console.datasets import document, render
from console.main import app
from shared.datasets.catalog import load_catalog

KNOWN = list(load_catalog(environment={}).values())


@pytest.mark.parametrize("width", [80, 120])
def test_each_dataset_is_one_line_on_the_screen(width: int) -> None:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render(KNOWN))
    lines = capture.get().splitlines()

    assert len(lines) == len(KNOWN) + 1
    assert max(map(len, lines)) <= width
    assert "jsonplaceholder" in capture.get()


def test_a_program_gets_the_whole_dataset_in_the_words_of_its_file(runner: CliRunner) -> None:
    result = runner.invoke(app, ["datasets", "--json"])
    posts = next(dataset for dataset in json.loads(result.stdout) if dataset["name"] == "posts")

    assert result.exit_code == 0
    assert {"name": "user_id", "type": "int64", "from": "userId"} in posts["columns"]
    assert {"name", "source", "table", "key", "columns", "formats", "checks"} <= posts.keys()
    assert posts == document(load_catalog(environment={})["posts"])


def test_datasets_are_listed_without_any_stack(runner: CliRunner) -> None:
    result = runner.invoke(app, ["datasets"])

    assert result.exit_code == 0
    assert "onpoint_comments" in result.stdout


def test_a_wrong_dataset_file_is_one_sentence_with_its_place(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\ntable: [\n", encoding="utf-8")
    monkeypatch.setenv("ONPOINT_DATASETS_DIR", str(tmp_path))

    result = runner.invoke(app, ["datasets"])

    assert result.exit_code == 2
    assert "bad.yaml:3" in result.stderr
    assert "Traceback" not in result.stderr
