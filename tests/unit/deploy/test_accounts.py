"""PostgreSQL's user must be able to reach its files, wherever the checkout is."""

import json
import os
import shutil
from pathlib import Path

import pytest

from deploy.local import accounts
from deploy.local.accounts import Account
from deploy.local.home import Home

OTHER_ACCOUNT = Account("other", 54_321, 54_321)


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that every account can enter, unlike pytest's own."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path


@pytest.fixture
def system_folder(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(accounts, "SYSTEM_FOLDER", open_folder / "system")
    return open_folder / "system"


def closed_home(folder: Path) -> Home:
    (folder / "closed").mkdir(mode=0o700)
    home = Home(folder / "closed" / "home")
    home.create()
    return home


def test_closed_parent_is_noticed(open_folder: Path) -> None:
    inner = open_folder / "outer" / "inner"
    inner.mkdir(parents=True)
    (open_folder / "outer").chmod(0o755)
    inner.chmod(0o755)
    assert accounts.is_passable(inner, OTHER_ACCOUNT)
    assert accounts.is_passable(inner / "not there yet", OTHER_ACCOUNT)
    (open_folder / "outer").chmod(0o700)
    assert not accounts.is_passable(inner, OTHER_ACCOUNT)
    assert accounts.is_passable(open_folder / "outer", Account("owner", os.geteuid(), os.getegid()))


def test_ordinary_user_keeps_the_data_in_the_home(open_folder: Path) -> None:
    home = closed_home(open_folder)
    assert accounts.data_folder(home, None) == home.data / "postgres"
    assert accounts.reachable_programs(home.path, None) == home.path


def test_unreachable_data_goes_to_a_recorded_folder(open_folder: Path, system_folder: Path) -> None:
    home = closed_home(open_folder)
    data = accounts.data_folder(home, OTHER_ACCOUNT)
    assert data == system_folder / home.identity / "postgres"
    assert accounts.recorded_place(home) == data.parent
    assert accounts.is_passable(data.parent, OTHER_ACCOUNT)
    data.mkdir()
    (data / "PG_VERSION").write_text("18")
    # The record counts, also when the home could be reached by now.
    (open_folder / "closed").chmod(0o711)
    assert accounts.data_folder(home, OTHER_ACCOUNT) == data
    assert (data / "PG_VERSION").exists()


@pytest.mark.parametrize("beside", ["system", "file/system"])
def test_recorded_folder_goes_with_the_home(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    """A folder among the temporary files is taken where the system's cannot be made."""
    (open_folder / "file").write_text("")
    monkeypatch.setattr(accounts, "SYSTEM_FOLDER", open_folder / beside)
    monkeypatch.setattr("tempfile.tempdir", str(open_folder))
    home = closed_home(open_folder)
    data = accounts.data_folder(home, OTHER_ACCOUNT)
    data.mkdir()
    accounts.remove_place(home)
    assert not data.parent.exists()


@pytest.mark.parametrize("name", ["thesis", "onpoint-thesis"])
@pytest.mark.parametrize("owner", [None, "", "\0", "/another/home"])
def test_folder_that_no_stack_made_for_the_home_is_never_removed(
    open_folder: Path, system_folder: Path, name: str, owner: str | None
) -> None:
    """The home's record may name any folder."""
    home = closed_home(open_folder)
    system_folder.mkdir()
    for place in (open_folder / name, system_folder / name, system_folder / home.identity):
        place.mkdir()
        (place / "chapter.tex").write_text("years of work")
        if owner is not None:
            (place / accounts.OWNER).write_text(owner)
        home.places_file.write_text(json.dumps({"postgres": str(place)}))
        accounts.remove_place(home)
        assert (place / "chapter.tex").exists()


def test_folder_of_another_name_is_not_removed_though_it_names_the_home(open_folder: Path) -> None:
    home = closed_home(open_folder)
    place = open_folder / "thesis"
    place.mkdir()
    (place / accounts.OWNER).write_text(str(home.path))
    home.places_file.write_text(json.dumps({"postgres": str(place)}))
    accounts.remove_place(home)
    assert place.exists()


def test_data_of_a_lost_home_is_not_reused(open_folder: Path, system_folder: Path) -> None:
    """The password of that data was in the home."""
    home = closed_home(open_folder)
    (system_folder / home.identity / "postgres").mkdir(parents=True)
    assert not accounts.data_folder(home, OTHER_ACCOUNT).exists()


def test_data_of_a_deleted_home_is_removed_by_the_next(open_folder: Path, system_folder: Path) -> None:
    home = closed_home(open_folder)
    lost = accounts.data_folder(home, OTHER_ACCOUNT).parent
    shutil.rmtree(home.path)
    other = Home(open_folder / "closed" / "other")
    other.create()
    own = accounts.data_folder(other, OTHER_ACCOUNT).parent
    assert sorted(system_folder.iterdir()) == [own]
    assert lost != own


def test_unreachable_programs_are_copied_once(open_folder: Path, system_folder: Path) -> None:
    programs = closed_home(open_folder).path / "components"
    (programs / "bin").mkdir(parents=True)
    (programs / "bin" / "postgres").write_text("x")
    copied = accounts.reachable_programs(programs, OTHER_ACCOUNT)
    assert copied.parent == system_folder
    assert (copied / "bin" / "postgres").read_text() == "x"
    assert accounts.reachable_programs(programs, OTHER_ACCOUNT) == copied
    assert [entry.name for entry in system_folder.iterdir()] == [copied.name]


def test_place_falls_back_where_the_system_folder_cannot_be_made(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (open_folder / "file").write_text("")
    monkeypatch.setattr(accounts, "SYSTEM_FOLDER", open_folder / "file" / "system")
    monkeypatch.setattr("tempfile.tempdir", str(open_folder))
    home = closed_home(open_folder)
    data = accounts.data_folder(home, OTHER_ACCOUNT)
    assert data.is_relative_to(open_folder)
    assert json.loads(home.places_file.read_text()) == {"postgres": str(data.parent)}
