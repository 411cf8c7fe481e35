"""The folder is read anew where it changed, and one bad file keeps no other from working."""

import os
import shutil
from pathlib import Path

import pytest

from shared.datasets import folder as folders
from shared.datasets.catalog import RefusedFile, read_file
from shared.datasets.folder import DatasetFolder
from shared.errors import ConfigurationError

LATE = """\
name: late
source: {name: src_late, kind: api, base_url: "http://127.0.0.1:26777", path: /late, pagination: {kind: none}}
table: c_late
key: [id]
columns:
  - {name: id, type: int64}
  - {name: name, type: string}
"""


@pytest.fixture
def told() -> list[RefusedFile]:
    return []


@pytest.fixture
def folder(tmp_path: Path, told: list[RefusedFile]) -> DatasetFolder:
    return DatasetFolder(tmp_path, {}, on_refused=told.append)


def settle(path: Path) -> None:
    """As if it had been written a while ago."""
    past_s = path.stat().st_mtime - 60
    os.utime(path, (past_s, past_s))


def test_a_file_that_is_added_is_there_at_the_next_look(tmp_path: Path, folder: DatasetFolder) -> None:
    assert "late" not in folder.read()
    (tmp_path / "late.yaml").write_text(LATE)
    assert [column.name for column in folder.read()["late"].columns] == ["id", "name"]


def test_a_column_that_is_added_within_the_same_moment_is_seen(tmp_path: Path, folder: DatasetFolder) -> None:
    path = tmp_path / "late.yaml"
    path.write_text(LATE)
    stamp = path.stat().st_mtime_ns
    assert len(folder.read()["late"].columns) == 2
    path.write_text(LATE.replace("name: name", "name: mean"))  # as long as before
    os.utime(path, ns=(stamp, stamp))
    assert folder.read()["late"].columns[1].name == "mean"


def test_a_file_that_is_removed_is_gone_and_one_that_is_renamed_stays(
    tmp_path: Path, folder: DatasetFolder
) -> None:
    (tmp_path / "late.yaml").write_text(LATE)
    assert "late" in folder.read()
    (tmp_path / "late.yaml").rename(tmp_path / "later.yml")
    assert folder.read().files["late"] == tmp_path / "later.yml"
    (tmp_path / "later.yml").unlink()
    assert "late" not in folder.read()


def test_only_what_changed_is_parsed(
    tmp_path: Path, folder: DatasetFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(LATE.replace("late", name))
        settle(tmp_path / f"{name}.yaml")
    folder.read()
    parsed: list[str] = []

    def counting(path: Path, environment: dict[str, str]) -> object:
        parsed.append(path.name)
        return read_file(path, environment)

    monkeypatch.setattr(folders, "read_file", counting)
    before = folder.read()
    assert parsed == []
    assert folder.read() is before
    (tmp_path / "two.yaml").write_text(LATE.replace("late", "three"))
    assert "three" in folder.read()
    assert parsed == ["two.yaml"]


def test_a_half_written_file_keeps_nothing_else_from_working(
    tmp_path: Path, folder: DatasetFolder, told: list[RefusedFile]
) -> None:
    (tmp_path / "good.yaml").write_text(LATE.replace("late", "good"))
    (tmp_path / "late.yaml").write_text(LATE[: LATE.index("pagination")])
    catalog = folder.read()
    assert "good" in catalog
    assert "late.yaml" in str(catalog.why_refused("late"))
    (tmp_path / "late.yaml").write_text(LATE)
    assert "late" in folder.read()
    assert [refused.name for refused in told] == ["late"]


def test_a_bad_file_is_told_once_for_each_reason(
    tmp_path: Path, folder: DatasetFolder, told: list[RefusedFile]
) -> None:
    path = tmp_path / "late.yaml"
    path.write_text("")
    for _ in range(3):
        folder.read()
    path.write_text(LATE.replace("key: [id]", "key: [nr]"))
    for _ in range(3):
        folder.read()
    assert [refused.line for refused in told] == [1, 4]


def test_a_folder_that_goes_away_leaves_what_was_known(tmp_path: Path, told: list[RefusedFile]) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "late.yaml").write_text(LATE)
    folder = DatasetFolder(extra, {}, on_refused=told.append)
    folder.read()
    shutil.rmtree(extra)
    assert "late" in folder.read()
    extra.mkdir()
    assert "late" not in folder.read()


def test_a_folder_that_was_never_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ONPOINT_DATASETS_DIR"):
        DatasetFolder(tmp_path / "none", {}).read()
