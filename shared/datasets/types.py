"""The types of columns: what each is called, how Parquet and PostgreSQL store it, what a row needs for it. Pure.

A new type has its line in `KINDS`. How its values are read from a record is in the processor's `readers`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_PRECISION = 38
"""Digits of a decimal: Arrow, Spark and Athena hold no more in 128 bits."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the name of a type stands for."""

    name: str
    arrow: str
    """The name of Arrow's type. One that Spark and Athena lack is stored as another that they have."""
    postgres: str
    """As `format_type` writes it."""
    size_bytes: int
    """In a row of PostgreSQL, at least."""
    alignment: int = 1
    is_moved: bool = False
    """Whether PostgreSQL may keep a long value outside of its row."""
    is_key: bool = True
    shape: str = ""
    """What follows the name in a file."""

    @property
    def form(self) -> str:
        """As a message shows it."""
        return self.name + self.shape


_EMPTY_TEXT_BYTES = 1
_EMPTY_ARRAY_BYTES = 13
_LEAST_JSON_BYTES = 5
_LEAST_NUMERIC_BYTES = 3

KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("string", "string", "text", _EMPTY_TEXT_BYTES, is_moved=True),
        Kind("int8", "int8", "smallint", 2, 2),
        Kind("int16", "int16", "smallint", 2, 2),
        Kind("int32", "int32", "integer", 4, 4),
        Kind("int64", "int64", "bigint", 8, 8),
        Kind("float32", "float32", "real", 4, 4),
        Kind("float64", "float64", "double precision", 8, 8),
        Kind("decimal", "decimal128", "numeric", _LEAST_NUMERIC_BYTES, shape="(p,s)"),
        Kind("boolean", "bool_", "boolean", 1),
        Kind("timestamp", "timestamp", "timestamp with time zone", 8, 8),
        Kind("date", "date32", "date", 4, 4),
        Kind("time", "string", "time without time zone", 8, 8),
        Kind("duration", "int64", "interval", 16, 8),
        Kind("uuid", "string", "uuid", 16),
        Kind("binary", "binary", "bytea", _EMPTY_TEXT_BYTES, is_moved=True, is_key=False),
        Kind("json", "string", "jsonb", _LEAST_JSON_BYTES, is_moved=True, is_key=False),
        Kind("enum", "string", "text", _EMPTY_TEXT_BYTES, is_moved=True, shape="(a, b)"),
        Kind("list", "list", "jsonb", _LEAST_JSON_BYTES, is_moved=True, is_key=False, shape="<T>"),
        Kind("struct", "struct", "jsonb", _LEAST_JSON_BYTES, is_moved=True, is_key=False, shape="<a: T>"),
    )
}
"""By the name that a dataset file gives them. `list` is for lists that PostgreSQL has no array for."""

WHOLE_BITS: Final = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
FLOATS: Final = frozenset({"float32", "float64"})
NUMBERS: Final = frozenset({*WHOLE_BITS, *FLOATS, "decimal"})
"""They may be written with a decimal comma, and rounded."""

WIDER: Final = {
    "int8": ("int16", "int32", "int64", "float64"),
    "int16": ("int32", "int64", "float64"),
    "int32": ("int64", "float64"),
}
"""The types that hold every value of a type exactly. A text column that takes any value is wider than all of them."""

WIDER_IN_POSTGRES: Final = {
    "smallint": ("integer", "bigint", "double precision", "text"),
    "integer": ("bigint", "double precision", "text"),
    **dict.fromkeys(("bigint", "real", "double precision", "boolean"), ("text",)),
}
"""As the loader's function `evolve_column` has it."""

NESTED: Final = frozenset({"list", "struct"})
_JSONB: Final = frozenset({*NESTED, "json"})


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a column, or of a value inside of one. `str()` of it is its spelling."""

    kind: Kind
    precision: int = 0
    scale: int = 0
    """Digits of a decimal, and those behind its point."""
    values: tuple[str, ...] = ()
    """Of an enum."""
    item: "Type | None" = None
    """Of a list."""
    fields: tuple[tuple[str, "Type"], ...] = ()
    """Of a struct."""

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def is_array(self) -> bool:
        """Whether PostgreSQL holds it as an array."""
        return self.item is not None and self.item.name not in _JSONB

    @property
    def postgres(self) -> str:
        """Its type in PostgreSQL, as `format_type` writes it."""
        if self.item is not None and self.is_array:
            return f"{self.item.postgres}[]"
        return f"numeric({self.precision},{self.scale})" if self.name == "decimal" else self.kind.postgres

    @property
    def size_bytes(self) -> int:
        return _EMPTY_ARRAY_BYTES if self.is_array else self.kind.size_bytes

    def parts(self) -> "Iterator[Type]":
        """The type and every type inside of it."""
        yield self
        for inner in (*(inner for _, inner in self.fields), *((self.item,) if self.item else ())):
            yield from inner.parts()

    def has(self, name: str) -> bool:
        """Whether it, or a type inside of it, has this name."""
        return any(part.name == name for part in self.parts())

    def __str__(self) -> str:
        match self.name:
            case "decimal":
                return f"decimal({self.precision},{self.scale})"
            case "enum":
                return f"enum({', '.join(map(_quoted, self.values))})"
            case "list":
                return f"list<{self.item}>"
            case "struct":
                return f"struct<{', '.join(f'{name}: {inner}' for name, inner in self.fields)}>"
        return self.name


def _quoted(value: str) -> str:
    is_plain = value.isascii() and value.replace("_", "a").replace("-", "a").isalnum()
    return value if is_plain else "'" + value.replace("'", "''") + "'"
