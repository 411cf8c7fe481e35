"""What the code imports is declared: an installation without the tools of development has it."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from tests.support.records import ROOT

PACKAGES = ("shared", "services", "console", "deploy")
FOR_DEVELOPMENT = ("deploy/airflow/", "deploy/bench/", "deploy/observe/dashboards/", "deploy/release/")
"""Folders of programs that need more than an installation has."""

PARTS = {
    "botocore": "aioboto3",
    "pydantic_core": "pydantic",
    "requests": "pyiceberg",
    "sqlalchemy": "pyiceberg",
}
"""What a declared package pins for itself, and code that names its errors imports."""


def imported() -> Iterator[tuple[str, Path]]:
    """Each module that is neither Python's nor the project's, and the file that imports it."""
    for file in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        if file.relative_to(ROOT).as_posix().startswith(FOR_DEVELOPMENT):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in PACKAGES:
                    yield top, file


def declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    optional = ("dask", "pandas", "table-formats", "traces", "news")
    requirements = [*project["dependencies"], *(one for name in optional for one in extras[name])]
    return {
        re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-") for requirement in requirements
    }


def test_every_package_that_is_imported_is_declared() -> None:
    known, owners = declared(), packages_distributions()
    missing = {
        f"{module} in {file.relative_to(ROOT)}"
        for module, file in imported()
        if not {owner.lower().replace("_", "-") for owner in owners.get(PARTS.get(module, module), [module])}
        & known
    }
    assert missing == set()
