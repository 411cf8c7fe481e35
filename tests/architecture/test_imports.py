"""Imports follow the contracts of pyproject.toml, [tool.importlinter]."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/app.py"))


def test_the_import_contracts_are_met() -> None:
    found = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_all_six_services_are_there() -> None:
    assert SERVICES == ["converter", "crawler", "loader", "processor", "quality", "s3sink"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_its_modules_and_a_readme(service: str) -> None:
    folder = ROOT / "services" / service
    assert {"app", "handlers", "service", "README"} <= {path.stem for path in folder.iterdir()}


@pytest.mark.parametrize("service", SERVICES)
def test_importing_a_service_connects_to_nothing_and_needs_no_settings(service: str) -> None:
    code = f"import services.{service}.app"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    "path", sorted((ROOT / "services").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT))
)
def test_settings_are_read_in_the_composition_root_only(path: Path) -> None:
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    assert path.name == "app.py" or "load_settings" not in names
    assert "environ" not in path.read_text()


HEAVY = {
    "converter": {"asyncpg", "pgpq"},
    "processor": {"asyncpg", "pgpq", "dask", "distributed"},
    "crawler": {"asyncpg", "pgpq", "polars", "pyarrow"},
    "quality": {"pgpq", "polars"},
}


@pytest.mark.parametrize("service", sorted(HEAVY))
def test_a_service_imports_only_what_it_needs(service: str) -> None:
    code = f"import sys, services.{service}.app; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not HEAVY[service] & set(found.stdout.split())
