"""What `make dist` builds contains what the product needs, and nothing else."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

from shared.version import CODE_VERSION
from tests.support.records import ROOT

PACKAGES = ("shared", "services", "console", "deploy")
FROM_A_CHECKOUT = (
    "deploy/airflow/",
    "deploy/compose/",
    "deploy/dms/",
    "deploy/docker/",
    "deploy/k8s/",
    "deploy/release/",
    "deploy/terraform/",
)
"""Folders of programs that are not started from an installation."""


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


def test_the_version_is_that_of_the_code(archives: dict[str, Path]) -> None:
    assert {file.name for file in archives.values()} == {
        f"onpoint-{CODE_VERSION}-py3-none-any.whl",
        f"onpoint-{CODE_VERSION}.tar.gz",
    }
