"""Where a setting is: a variable `ONPOINT_<NAME>`, or a file that `ONPOINT_<NAME>_FILE` names."""

from collections.abc import Mapping
from pathlib import Path

from shared.errors import ConfigurationError

PREFIX = "ONPOINT_"


def variable_of(field: str) -> str:
    """The variable of a settings model's field."""
    return PREFIX + field.upper()


def read_setting(field: str, environment: Mapping[str, str]) -> str | None:
    """The value of a field, None where neither variable has one.

    Raises `ConfigurationError` if the file cannot be read. The last line end of a file is not part of its value.
    """
    variable = variable_of(field)
    if value := environment.get(variable):
        return value
    if not (file := environment.get(f"{variable}_FILE")):
        return None
    try:
        return read_file(Path(file)) or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable}_FILE: {file} cannot be read: {error}") from error


def read_file(file: Path) -> str:
    """Without the last line end. Raises `OSError`, `UnicodeDecodeError`."""
    return file.read_text(encoding="utf-8").rstrip("\r\n")
