"""The folders that a desktop keeps for programs of its user."""

from collections.abc import Mapping
from pathlib import Path


def data_home(environ: Mapping[str, str]) -> Path:
    """What a user would miss: `XDG_DATA_HOME`, or `~/.local/share`."""
    return _folder(environ, "XDG_DATA_HOME", ".local/share")


def cache_home(environ: Mapping[str, str]) -> Path:
    """What can be fetched again: `XDG_CACHE_HOME`, or `~/.cache`."""
    return _folder(environ, "XDG_CACHE_HOME", ".cache")


def _folder(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """The standard has a relative path in the variable ignored."""
    named = environ.get(variable) or ""
    return Path(named) if Path(named).is_absolute() else Path(environ.get("HOME") or Path.home()) / default
