"""What export formats and severities of checks are called, apart from the events: a name alone costs no model."""

from typing import Literal

Severity = Literal["error", "warn"]
Format = Literal["parquet", "csv", "json", "xlsx"]

SUPPORTED_FORMATS: tuple[Format, ...] = ("parquet", "csv", "json")
"""Those that the converter of this version writes. The contract has names for more: who asks for one is refused."""
