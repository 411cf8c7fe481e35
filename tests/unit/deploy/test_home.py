"""A home keeps its own and touches nothing else."""

import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.home import CHECKOUT_HOME, OWN_ENTRIES, Home, default_home, write_private
from deploy.local.sockets import make_socket_folder, remove_socket_folder, socket_folder


def test_home_is_in_the_checkout_unless_the_environment_names_another(tmp_path: Path) -> None:
    assert Home.from_environment({}).path == CHECKOUT_HOME
    assert Home.from_environment({"ONPOINT_HOME": ""}).path == CHECKOUT_HOME
    assert Home.from_environment({"ONPOINT_HOME": str(tmp_path)}).path == tmp_path


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/home/me"}, "/home/me/.local/share/onpoint"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, "/data/onpoint"),
        ({"HOME": "/home/me", "XDG_DATA_HOME": "relative"}, "/home/me/.local/share/onpoint"),
    ],
)
def test_home_of_an_installed_package_is_among_the_users_data(environ: dict[str, str], folder: str) -> None:
    assert default_home(environ, is_checkout=False) == Path(folder)


def test_others_may_not_look_into_a_home(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "home")
    home.create()
    for folder in (home.path, home.data, home.logs):
        assert not stat.S_IMODE(folder.stat().st_mode) & (stat.S_IRWXG | stat.S_IROTH | stat.S_IWOTH) & ~0o011


def test_private_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_folder_with_other_things_is_not_a_home(tmp_path: Path) -> None:
    """Wiping such a home, or changing its mode, would hurt what is not the stack's."""
    (tmp_path / "thesis.tex").write_text("years of work")
    mode = tmp_path.stat().st_mode
    with pytest.raises(StackError, match=r"contains other things \(thesis\.tex\)"):
        Home(tmp_path).create()
    assert tmp_path.stat().st_mode == mode


@pytest.mark.parametrize("name", ["airflow", "chaos", "compose"])
def test_what_the_project_keeps_beside_a_stack_is_let_be(tmp_path: Path, name: str) -> None:
    """Secrets of containers, reports and Airflow's files are in the default home's folder."""
    (tmp_path / name).mkdir()
    (tmp_path / name / "secret").write_text("x")
    home = Home(tmp_path)
    home.create()
    home.wipe()
    assert (tmp_path / name / "secret").exists()


def test_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="set ONPOINT_HOME to another"):
        Home(tmp_path / "file" / "home").create()


def test_wipe_keeps_components_and_locks(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    for name in OWN_ENTRIES - {"data", "logs"}:
        (home.path / name).write_text("x")
    (home.path / "thesis.tex").write_text("put there later")
    home.wipe()
    assert sorted(entry.name for entry in home.path.iterdir()) == [
        "components",
        "launch.lock",
        "supervisor.lock",
        "thesis.tex",
    ]


def test_identity_is_of_the_real_folder(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    assert Home(link).identity == Home(real).identity != Home(tmp_path).identity


def test_sockets_of_a_deep_home_are_elsewhere(tmp_path: Path) -> None:
    deep = Home(tmp_path.joinpath(*["a-rather-long-folder-name"] * 5))
    deep.create()
    folder = make_socket_folder(deep)
    try:
        assert folder == socket_folder(deep)
        assert len(os.fsencode(folder / "control.sock")) < 100
        assert not folder.is_relative_to(deep.path)
    finally:
        remove_socket_folder(deep)
    assert not folder.exists()


def test_sockets_go_and_what_else_is_in_their_folder_stays(tmp_path: Path) -> None:
    home = Home(Path(tempfile.mkdtemp(dir="/tmp")))
    try:
        folder = make_socket_folder(home)
        (folder / "result.csv").write_text("years of work")
        (folder / "notes.sock").write_text("no socket")
        with socket.socket(socket.AF_UNIX) as control:
            control.bind(str(folder / "control.sock"))
        remove_socket_folder(home)
        assert sorted(entry.name for entry in folder.iterdir()) == ["notes.sock", "result.csv"]
    finally:
        shutil.rmtree(home.path)
    linked = Home(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    socket_folder(linked).symlink_to(tmp_path / "elsewhere")
    remove_socket_folder(linked)
    assert (tmp_path / "elsewhere").exists()


def test_no_folder_of_temporary_files_makes_sockets_deep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = Home(tmp_path.joinpath(*["a-rather-long-folder-name"] * 5))
    usual = socket_folder(deep)
    monkeypatch.setenv("TMPDIR", str(deep.path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert socket_folder(deep) == usual


def test_a_socket_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    socket_folder(home).symlink_to(elsewhere)
    with pytest.raises(StackError, match="belongs to another user"):
        make_socket_folder(home)
