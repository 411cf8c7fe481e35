"""What a dataset file says about its exports: the options of each format."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Whole

TextCompression = Literal["gzip", "zstd", "none"]

GZIP_LEVELS = range(4)
"""Those of ISA-L."""
ZSTD_LEVELS = range(1, 20)

DATE_CODES = ("%Y", "%y", "%m", "%d", "%j", "%%")
TIME_CODES = ("%H", "%M", "%S", "%.3f", "%.6f", "%z", "%:z")

_CODE = re.compile(r"%(?:\.[0-9]+f|:z|.|$)")
_NO_DELIMITER = re.compile(r"[A-Za-z0-9\"'+\-.\\ ]")


def _delimiter(value: str) -> str:
    if value != "\t" and (not value.isascii() or not value.isprintable() or _NO_DELIMITER.fullmatch(value)):
        raise FaultError(f'{value!r} cannot stand between fields: write one such as , or ; or | or "\\t"')
    return value


def _null_text(value: str) -> str:
    if not value.isprintable() or '"' in value:
        raise FaultError(f"{value!r} cannot stand for null: printable characters without quotes are taken")
    return value


def _codes(allowed: tuple[str, ...]) -> AfterValidator:
    def check(value: str) -> str:
        if unknown := [code for code in _CODE.findall(value) if code not in allowed]:
            raise FaultError(f"{unknown[0]} is not known here: there are {' '.join(allowed)}")
        if not value.isprintable() or '"' in value:
            raise FaultError(f"{value!r} cannot be a format: printable characters without quotes are taken")
        return value

    return AfterValidator(check)


DateFormat = Annotated[str, StringConstraints(min_length=1, max_length=64), _codes(DATE_CODES)]
TimestampFormat = Annotated[
    str, StringConstraints(min_length=1, max_length=64), _codes((*DATE_CODES, *TIME_CODES))
]


def _check_level(compression: str, level: int | None) -> None:
    levels = {"gzip": GZIP_LEVELS, "zstd": ZSTD_LEVELS}.get(compression)
    if level is None:
        return
    if levels is None:
        raise FaultError(f"{compression} has no levels: leave it away", "level")
    if level not in levels:
        raise FaultError(
            f"{level} is no level of {compression}: it has {levels.start} to {levels.stop - 1}", "level"
        )


class CsvOptions(Model):
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1), AfterValidator(_delimiter)] = ","
    quote: Literal["minimal", "all"] = "minimal"
    null_text: Annotated[str, StringConstraints(max_length=20), AfterValidator(_null_text)] = ""
    """What stands for null."""
    decimal_comma: bool = False
    bom: bool = False
    """Begin with the mark by which Excel knows UTF-8."""
    date_format: DateFormat = "%Y-%m-%d"
    timestamp_format: TimestampFormat = "%Y-%m-%dT%H:%M:%S%.6fZ"
    """Of UTC."""
    compression: TextCompression = "gzip"
    level: Whole | None = None

    @model_validator(mode="after")
    def options_fit_together(self) -> Self:
        _check_level(self.compression, self.level)
        if self.decimal_comma and self.delimiter == ",":
            raise FaultError("a comma is the delimiter too: write `delimiter: ;`", "decimal_comma")
        if self.null_text and self.delimiter in self.null_text:
            raise FaultError(f"{self.null_text!r} holds the delimiter", "null_text")
        return self


class JsonOptions(Model):
    shape: Literal["lines", "array"] = "lines"
    compression: TextCompression = "gzip"
    level: Whole | None = None

    @model_validator(mode="after")
    def level_is_of_the_compression(self) -> Self:
        _check_level(self.compression, self.level)
        return self


class ParquetOptions(Model):
    compression: Literal["zstd", "snappy"] = "zstd"
    level: Whole | None = None
    row_group_rows: Annotated[Whole, Field(ge=1_000, le=1_000_000)] = 100_000

    @model_validator(mode="after")
    def level_is_of_the_compression(self) -> Self:
        _check_level(self.compression, self.level)
        return self


class XlsxOptions(Model):
    long_texts: Literal["refuse", "cut"] = "refuse"
    """What becomes of a text that is longer than a cell."""
    times: Literal["exact", "round"] = "exact"
    """What becomes of a time with more than milliseconds."""


class FeatherOptions(Model):
    compression: Literal["zstd", "lz4", "none"] = "zstd"


class AvroOptions(Model):
    compression: Literal["snappy", "zstd", "deflate", "none"] = "snappy"


class Exports(Model):
    """How a dataset's exports are written. A format that the file does not name has its defaults."""

    parquet: ParquetOptions = ParquetOptions()
    csv: CsvOptions = CsvOptions()
    json_: Annotated[JsonOptions, Field(alias="json")] = JsonOptions()
    xlsx: XlsxOptions = XlsxOptions()
    feather: FeatherOptions = FeatherOptions()
    avro: AvroOptions = AvroOptions()
    one_file: bool = False
    """Combine the batches of a run into one file per format when the run has ended."""
    max_rows: Annotated[Whole, Field(ge=1)] | None = None
    """Of a combined file; None: no bound."""
    max_bytes: Annotated[Whole, Field(ge=10_000)] | None = None
    """Of a combined file; None: no bound."""

    @model_validator(mode="after")
    def one_file_has_no_bound(self) -> Self:
        if self.one_file and (self.max_rows is not None or self.max_bytes is not None):
            raise FaultError("max_rows and max_bytes ask for several files: leave one_file away", "one_file")
        return self

    @property
    def are_combined(self) -> bool:
        """Whether the batches of a run are combined when it has ended."""
        return self.one_file or self.max_rows is not None or self.max_bytes is not None
