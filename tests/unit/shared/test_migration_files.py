"""Migrations are files of OnPoint's own packages, wherever those are installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from console.cli.admin import MIGRATED, migrations

ROOT = Path(__file__).parents[3]

LISTING = """
from console.cli.admin import migrations
for each in migrations():
    print(each.service, each.name, each.sha256)
"""

FOREIGN = "sql/0001_foreign.sql"


def listed(*, python_path: Path) -> list[str]:
    """By an interpreter that finds OnPoint's packages there and nowhere else."""
    done = subprocess.run(
        (sys.executable, "-c", LISTING),
        cwd=python_path,
        env={"PYTHONPATH": str(python_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def migrations_of_the_source() -> list[str]:
    return [f"{each.service} {each.name} {each.sha256}" for each in migrations()]


def test_every_package_with_migrations_is_named() -> None:
    folders = {
        file.parent.parent
        for folder in ("services", "console")
        for file in ROOT.glob(f"{folder}/**/sql/*.sql")
    }
    assert {str(folder.relative_to(ROOT)).replace("/", ".") for folder in folders} == set(MIGRATED)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the wheel is installed, beside a foreign package with files of the same kind."""
    folder = tmp_path_factory.mktemp("wheel")
    source, target = folder / "source", folder / "target"
    source.mkdir()
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, source)
    for package in ("services", "shared", "console", "deploy"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    build = ("wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(source))
    subprocess.run((*pip, *build), check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    subprocess.run(
        (*pip, "install", "--no-deps", f"--target={target}", str(wheel)), check=True, capture_output=True
    )
    for foreign in ("stranger", "services/stranger"):
        (target / foreign / "sql").mkdir(parents=True)
        (target / foreign / FOREIGN).write_text("DROP TABLE everything")
    return target


def test_a_wheel_has_the_migrations_and_finds_no_other_package_s(installed: Path) -> None:
    assert listed(python_path=installed) == migrations_of_the_source()
