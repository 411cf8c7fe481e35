import os
from pathlib import Path

import pytest
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def no_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings, no stack, no colours, wherever the tests run."""
    for name in [name for name in os.environ if name.startswith(("ONPOINT_", "PG", "AWS_"))]:
        monkeypatch.delenv(name)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONPOINT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()
