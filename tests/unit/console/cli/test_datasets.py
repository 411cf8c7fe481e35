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


TRANSFORMED = """\
name: people
source: {name: s, kind: api, base_url: "https://x.example", path: /p, pagination: {kind: none}}
table: people
key: [id]
columns:
  - {name: id, type: int64}
  - {name: mail, type: string}
  - {name: size, type: int64, computed: true}
inputs:
  - {name: tags, from: more.tags, type: string}
transform:
  - sql: SELECT *, length(mail) AS size FROM batch
  - {python: "mine:tidy", frame: polars}
  - mask: {mail: hash}
"""


@pytest.fixture
def transformed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "people.yaml").write_text(TRANSFORMED, encoding="utf-8")
    (tmp_path / "mine.py").write_text("def tidy(rows):\n    return rows\n", encoding="utf-8")
    monkeypatch.setenv("ONPOINT_DATASETS_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("transformed")
def test_a_dataset_is_described_with_its_masks_and_no_code(runner: CliRunner) -> None:
    found = runner.invoke(app, ["datasets", "describe", "people"])
    assert found.exit_code == 0
    assert "mail  string  from mail, masked: hash" in found.stdout
    assert "size  int64   computed" in found.stdout
    assert "tags  string  from more.tags, not stored" in found.stdout
    listed = json.loads(runner.invoke(app, ["datasets", "--json"]).stdout)
    [people] = [dataset for dataset in listed if dataset["name"] == "people"]
    assert people["transform"][1] == {"python": "mine:tidy", "frame": "polars"}
    assert people["transform"][2] == {"mask": {"mail": "hash"}}


def test_a_check_runs_the_steps_on_no_rows_and_loads_the_functions(
    transformed: Path, runner: CliRunner
) -> None:
    good = runner.invoke(app, ["datasets", "check", "people"])
    assert (good.exit_code, good.stdout) == (0, "1 dataset file can be used\n")
    (transformed / "mine.py").write_text("import gone\ndef tidy(rows):\n    return rows\n", encoding="utf-8")
    bad = runner.invoke(app, ["datasets", "check", "people"])
    assert bad.exit_code == 1
    assert "people.yaml:13: transform 2: it raised ModuleNotFoundError: No module named 'gone'" in bad.stdout
    text = TRANSFORMED.replace("length(mail)", "mail").replace(
        '  - {python: "mine:tidy", frame: polars}\n', ""
    )
    (transformed / "people.yaml").write_text(text, encoding="utf-8")
    typed = runner.invoke(app, ["datasets", "check", "people"])
    assert "people.yaml:11: transform: column size is string in the result, and int64" in typed.stdout
