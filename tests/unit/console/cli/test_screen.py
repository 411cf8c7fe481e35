"""A pipe is as wide as it needs to be; COLUMNS sets another width."""

import sys

import pytest

from console.cli import screen


def test_a_pipe_is_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)

    assert screen.stdout().width == screen.PIPED


def test_columns_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    monkeypatch.setenv("COLUMNS", "72")

    assert screen.stdout().width == 72
