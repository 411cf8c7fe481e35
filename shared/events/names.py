"""What export formats and severities of checks are called, apart from the events: a name alone costs no model."""

from typing import Literal, get_args

Severity = Literal["error", "warn"]
Format = Literal["parquet", "csv", "json", "xlsx", "feather", "avro"]

SUPPORTED_FORMATS: tuple[Format, ...] = get_args(Format)
"""Those that the converter writes, in the order in which messages name them."""
