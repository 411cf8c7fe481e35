"""A column of a dataset file: its type, where its value is in a record, and how that value is read. Pure."""

from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from shared.datasets.faults import FaultError
from shared.datasets.fields import Model, Name
from shared.datasets.fills import expected_fill, is_fill_of
from shared.datasets.lineage import RESERVED_COLUMNS
from shared.datasets.paths import Path, parse_path
from shared.datasets.sources.json_paths import PathText
from shared.datasets.stamp_formats import check_format
from shared.datasets.type_spelling import Spelling, type_of
from shared.datasets.types import FLOATS, NUMBERS, WHOLE_BITS, Type

SYSTEM_COLUMNS: Final = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
"""Every table of PostgreSQL has them."""

ROUNDED: Final = FLOATS
"""They round what they cannot hold as it is; other numbers refuse it, unless the file has another rule."""

UNIX_FORMATS: Final = ("unix", "unix_ms", "unix_us")
"""Times as numbers: seconds, milliseconds or microseconds since 1970."""

Texts = Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=100)]
Inexact = Literal["refuse", "round"]
Encoding = Literal["base64", "hex"]

_TEXTUAL = frozenset({"string", "enum", "time", "timestamp", "date", "duration", "uuid", "binary", "decimal"})
"""Types whose values are written as texts, or may be."""

_READ_FROM_TEXT = frozenset({*WHOLE_BITS, *FLOATS, "boolean"})

_APPLIES: Final[dict[str, frozenset[str]]] = {
    "inexact": NUMBERS,
    "from_text": _READ_FROM_TEXT,
    "from_any": frozenset({"string"}),
    "decimal_comma": NUMBERS,
    "true_words": frozenset({"boolean"}),
    "false_words": frozenset({"boolean"}),
    "zone": frozenset({"timestamp"}),
    "format": frozenset({"timestamp", "date", "time"}),
    "encoding": frozenset({"binary"}),
    "trim": _TEXTUAL | _READ_FROM_TEXT,
    "empty_as_null": _TEXTUAL | _READ_FROM_TEXT,
    "nulls": _TEXTUAL | _READ_FROM_TEXT,
}
"""The types for which an option has a meaning; a list or struct has the options of what is in it."""


class Column(Model):
    name: Name
    type: Spelling
    source_path: Annotated[str | None, Field(alias="from")] = None
    """Where the value is in the record: a path of keys (`shared.datasets.paths`). Absent: the column's name."""
    from_first: Annotated[tuple[PathText, ...], Field(max_length=20)] = ()
    """Several places, of which the first that is there counts; each may hold brackets. For sources with a `request`."""
    const: str | int | float | bool | None = None
    """The value of every row. For sources with a `request`."""
    join: Annotated[str, Field(max_length=20)] | None = None
    """What stands between the texts of `from_first`, or of the list at `from`. For sources with a `request`."""
    fill: str | int | float | bool | None = None
    """Replaces null. Absent: null stays null."""
    computed: bool | None = None
    """Whether the transform makes it, and no record has it."""
    inexact: Inexact | None = None
    """What becomes of a number that the column cannot hold as it is: of a fraction in an integer, of more digits
    behind the point than a decimal has, of an integer that no float is. Absent: floats round it, others refuse it."""
    nulls: Texts = ()
    """Texts that mean null."""
    trim: bool = False
    """Whether blanks, tabs and line ends around a text are taken away before anything else is done with it."""
    empty_as_null: bool = False
    from_text: bool = False
    """Whether numbers and booleans are also taken as texts."""
    from_any: bool = False
    """Whether a text column takes every value: what is no text, as the text of its JSON."""
    true_words: Texts = ()
    false_words: Texts = ()
    """Texts that mean true and false, in place of `true` and `false`."""
    decimal_comma: bool = False
    """Whether a comma is before the fraction of a number that is a text."""
    zone: Annotated[str, Field(max_length=64)] | None = None
    """The time zone of times without an offset, as in `Europe/Berlin`. Absent: UTC."""
    format: Annotated[str, Field(max_length=100)] | None = None
    """How a time or day is written, in the letters of strftime, or unix, unix_ms or unix_us for a number of a source with
    a `request`. Absent: ISO 8601."""
    encoding: Encoding | None = None
    """How bytes are written. Absent: base64."""

    @field_validator("name")
    @classmethod
    def name_is_free(cls, value: str) -> str:
        if value in RESERVED_COLUMNS:
            raise FaultError(
                f"{value} is written by the pipeline itself: choose another name, and write `from: {value}`"
            )
        if value in SYSTEM_COLUMNS:
            raise FaultError(
                f"{value} is a column that PostgreSQL has in every table: choose another name, "
                f"and write `from: {value}`"
            )
        return value

    @property
    def path(self) -> Path:
        """The keys that lead to the value, from the outermost in."""
        if self.is_composed:
            return ("$column", self.name)
        return (self.name,) if self.source_path is None else parse_path(self.source_path)

    @property
    def is_composed(self) -> bool:
        """Whether the crawler puts the value into the record's line."""
        return bool(self.from_first) or self.const is not None or self.join is not None or self.is_unix

    @property
    def is_unix(self) -> bool:
        """Whether its times are numbers, which the crawler writes as texts."""
        return self.format in UNIX_FORMATS

    @property
    def text_format(self) -> str | None:
        """How its times are written in a record's line; None: ISO 8601."""
        return None if self.is_unix else self.format

    @property
    def places(self) -> tuple[str, ...]:
        """Of a composed column, in the order of their worth."""
        return self.from_first or (self.source_path or self.name,)

    @property
    def value_type(self) -> Type:
        return type_of(self.type)

    @property
    def of_fill(self) -> "Column":
        """The column as its `fill` is read: by the type alone, in the file's zone and encoding."""
        return Column(name=self.name, type=self.type, zone=self.zone, encoding=self.encoding)

    def rounds_as(self, name: str) -> bool:
        """Whether a number that the type of this name, the column's or one inside of it, cannot hold as it is becomes
        the nearest that it can.
        """
        return name in ROUNDED if self.inexact is None else self.inexact == "round"

    @field_validator("source_path")
    @classmethod
    def path_is_made_of_keys(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_path(value)
            except ValueError as error:
                raise FaultError(f"{value[:100]!r} is not a path of keys: {error}") from error
        return value

    @field_validator("zone")
    @classmethod
    def zone_is_known(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise FaultError(f"{value} is no time zone: one such as Europe/Berlin is expected") from error
        return value

    @model_validator(mode="after")
    def options_fit_the_type(self) -> Self:
        names = {part.name for part in self.value_type.parts()}
        for option, types in _APPLIES.items():
            if getattr(self, option) not in {None, False, ()} and not names & types:
                raise FaultError(f"only for columns of type {_listed(types)}, not for {self.type}", option)
        if self.from_any and (self.type != "string" or self.trim or self.nulls or self.empty_as_null):
            reason = "for a column of type string alone, without `trim`, `nulls` and `empty_as_null`"
            raise FaultError(reason, "from_any")
        if self.format is not None and not self.is_unix:
            check_format(self.format, frozenset(names & _APPLIES["format"]))
        if words := sorted({*self.true_words} & {*self.false_words}):
            raise FaultError(f"{words[0]!r} cannot mean true and false", "false_words")
        return self

    @model_validator(mode="after")
    def fill_is_of_the_column_type(self) -> Self:
        if self.fill is not None and not is_fill_of(self.value_type, self.fill, self.encoding or "base64"):
            raise FaultError(expected_fill(self.value_type, self.fill), "fill")
        return self


def _listed(types: frozenset[str]) -> str:
    *others, last = [name for name in _ORDER if name in types]
    return f"{', '.join(others)} and {last}" if others else last


_ORDER = (*WHOLE_BITS, *sorted(FLOATS), "decimal", "boolean", "string", "timestamp", "date", "time", "duration", "uuid",
          "binary", "enum")  # fmt: skip
"""As a message names them."""
