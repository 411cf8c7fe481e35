"""Ending a stack touches what a stack has made, and nothing else."""

import json
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.home import Home
from deploy.local.launcher import shut_down

PROJECT = (
    "config.json",
    "credentials.json",
    "data/thesis.tex",
    "logs/2019.log",
    "run/result.csv",
    "run/control.sock",
    "state.json",
)
"""Names that a stack uses, too."""


def report(line: str) -> None:
    """Discards the line."""


def files(folder: Path) -> list[str]:
    return sorted(str(found.relative_to(folder)) for found in folder.rglob("*") if found.is_file())


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("years of work")


@pytest.mark.parametrize("wipe", [False, True])
@pytest.mark.parametrize("others", [(), ("src/main.py",)])
def test_a_folder_in_which_no_stack_was_started_is_refused(
    tmp_path: Path, others: tuple[str, ...], wipe: bool
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "onpoint-elsewhere"
    write(project, *PROJECT, *others)
    write(elsewhere, "notes.txt")
    (project / "places.json").write_text(json.dumps({"postgres": str(elsewhere)}))
    before = files(tmp_path)
    with pytest.raises(StackError, match=r"no stack was ever started in .* holds other things"):
        shut_down(Home(project), report, wipe=wipe)
    assert files(tmp_path) == before


def test_a_file_is_not_a_home(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt")
    with pytest.raises(StackError, match="is no stack's home"):
        shut_down(Home(tmp_path / "notes.txt"), report, wipe=True)


@pytest.mark.parametrize("wipe", [False, True])
def test_where_there_is_no_home_nothing_runs_and_nothing_is_made(tmp_path: Path, wipe: bool) -> None:
    (tmp_path / "fetched" / "components").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("fetched", "empty", "missing"):
        assert not shut_down(Home(tmp_path / name), report, wipe=wipe)
    assert files(tmp_path) == []
    assert not (tmp_path / "missing").exists()


def test_what_came_into_a_home_later_stops_its_removal_and_not_its_end(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    write(tmp_path, "launch.lock", "credentials.json", "data/table", "thesis.tex")
    with pytest.raises(StackError, match=r"holds other things \(thesis\.tex\): move them elsewhere first"):
        shut_down(home, report, wipe=True)
    assert not shut_down(home, report)
    assert files(tmp_path) == ["credentials.json", "data/table", "launch.lock", "thesis.tex"]


def test_a_home_is_removed_as_often_as_asked(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    write(tmp_path, "launch.lock", "credentials.json", "data/table", "compose/postgres_dsn")
    for _ in range(2):
        assert not shut_down(home, report, wipe=True)
        assert files(tmp_path) == ["compose/postgres_dsn", "launch.lock"]
