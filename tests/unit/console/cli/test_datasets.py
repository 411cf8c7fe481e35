import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from console.cli.datasets import document, render
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


GOOD = """\
name: late
source: {name: src_late, kind: api, base_url: "http://127.0.0.1:26777", path: /late, pagination: {kind: none}}
table: c_late
key: [id]
columns: [{name: id, type: int64}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One good file and two that cannot be used."""
    (tmp_path / "bad.yaml").write_text("name: bad\ntable: [\n", encoding="utf-8")
    (tmp_path / "late.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "wide.yaml").write_text(GOOD.replace("{name: id", "{name: ctid"), encoding="utf-8")
    monkeypatch.setenv("ONPOINT_DATASETS_DIR", str(tmp_path))
    return tmp_path


def test_files_that_cannot_be_used_come_last_with_their_reasons(runner: CliRunner, folder: Path) -> None:
    result = runner.invoke(app, ["datasets"])
    lines = result.stdout.splitlines()

    assert result.exit_code == 1
    assert len([line for line in lines if line.startswith("late ")]) == 1
    assert lines[-3] == "2 dataset files cannot be used:"
    assert lines[-2].startswith(f"  {folder}/bad.yaml:3: ")
    assert lines[-1].startswith(
        f"  {folder}/wide.yaml:5: columns 1.name: ctid is a column that PostgreSQL has"
    )


def test_a_program_gets_both(runner: CliRunner, folder: Path) -> None:
    result = runner.invoke(app, ["datasets", "--json"])
    found = json.loads(result.stdout)

    assert result.exit_code == 1
    assert [each["name"] for each in found if not each.get("refused")] == [*(d.name for d in KNOWN), "late"]
    bad, wide = [each for each in found if each.get("refused")]
    assert (bad["name"], bad["file"], bad["line"]) == ("bad", str(folder / "bad.yaml"), 3)
    assert "ctid" in wide["reason"]


def test_a_run_of_a_dataset_whose_file_is_bad_is_refused_with_the_reason(
    runner: CliRunner, folder: Path
) -> None:
    result = runner.invoke(app, ["run", "bad"])

    assert result.exit_code == 2
    assert f"dataset bad cannot be crawled: {folder}/bad.yaml:3: " in result.stderr


def test_a_folder_that_is_not_there_is_one_sentence(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONPOINT_DATASETS_DIR", "/nowhere/at/all")
    result = runner.invoke(app, ["datasets"])

    assert result.exit_code == 2
    assert "ONPOINT_DATASETS_DIR" in result.stderr
    assert "Traceback" not in result.stderr
