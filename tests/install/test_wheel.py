"""What is built contains what the product needs, and an installation of it works in an empty folder."""

import json
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from console.main import COMMANDS
from shared.version import CODE_VERSION
from tests.support.installation import Installation
from tests.support.records import ROOT
from tests.support.source import SourceServer

pytestmark = [pytest.mark.install, pytest.mark.timeout(600)]

PACKAGES = ("shared", "services", "console", "deploy")
FROM_A_CHECKOUT = ("deploy/airflow/", "deploy/compose/", "deploy/dms/", "deploy/docker/", "deploy/release/")
"""Folders of programs that are not started from an installation."""

IMPORT_EVERY_COMMAND = "import sys; from console.main import load\nfor name in sys.argv[1:]: load(name)"
WHERE = "import console, deploy, services, shared; print(*(m.__path__[0] for m in (console, deploy, services, shared)))"


def files_of_the_packages() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {
        name
        for name in listed
        if not name.startswith(FROM_A_CHECKOUT) and not name.endswith(".md") and (ROOT / name).exists()
    }


def test_the_wheel_contains_the_files_of_the_packages_and_no_others(archives: dict[str, Path]) -> None:
    with zipfile.ZipFile(archives["whl"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files_of_the_packages()


def test_the_source_archive_contains_what_the_wheel_is_made_of(archives: dict[str, Path]) -> None:
    with tarfile.open(archives["gz"]) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert files_of_the_packages() | {"pyproject.toml", "README.md"} <= names


def test_the_version_is_that_of_the_code(archives: dict[str, Path], installation: Installation) -> None:
    assert {file.name for file in archives.values()} == {
        f"onpoint-{CODE_VERSION}-py3-none-any.whl",
        f"onpoint-{CODE_VERSION}.tar.gz",
    }
    assert installation.run("onpoint", "--version").stdout == f"onpoint {CODE_VERSION}\n"


def test_the_installed_code_is_what_runs(installation: Installation) -> None:
    found = installation.run("python", "-c", WHERE).stdout.split()
    site_packages = installation.programs.parent / "lib"
    assert len(found) == 4
    assert all(Path(place).is_relative_to(site_packages) for place in found)


def test_every_command_finds_what_it_imports(installation: Installation) -> None:
    done = installation.run("python", "-c", IMPORT_EVERY_COMMAND, *COMMANDS)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stack_starts_in_an_empty_folder_and_a_run_arrives(
    installation: Installation, source: SourceServer
) -> None:
    started = installation.run("onpoint", "up", within_s=400)
    assert started.returncode == 0, started.stdout + started.stderr

    done = installation.run("onpoint", "run", "posts", "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    posts = json.loads(done.stdout)["datasets"]["posts"]
    assert posts["rows_loaded"] == posts["rows_stored"] == len(source.collections["posts"])
    checked = installation.run("onpoint", "verify")
    assert checked.returncode == 0, checked.stdout + checked.stderr

    home = Path(installation.environment["HOME"])
    assert (home / ".local/share/onpoint/credentials.json").exists()
    assert any((home / ".cache/onpoint/components").iterdir())
    assert list(installation.folder.iterdir()) == []
