"""A type as a dataset file spells it, `decimal(18,4)` or `list<struct<a: int64>>`, to its `Type`. Pure."""

import difflib
import re
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator

from shared.datasets.faults import FaultError
from shared.datasets.types import KINDS, MAX_PRECISION, Type

MAX_DEPTH = 8
"""Types inside of each other."""

MAX_PARTS = 500
"""Fields of a struct, or values of an enum."""

MAX_CHARS = 20_000
_SHOWN_CHARS = 60
_ALIKE = 0.5

_MEANT: Final = {
    "text": "string", "str": "string", "varchar": "string", "char": "string", "character": "string",
    "tinyint": "int8", "byte": "int8", "short": "int16", "smallint": "int16", "int": "int64", "integer": "int64",
    "bigint": "int64", "long": "int64", "number": "float64", "double": "float64", "float": "float64", "real": "float32",
    "numeric": "decimal", "money": "decimal", "bool": "boolean", "datetime": "timestamp", "timestamptz": "timestamp",
    "interval": "duration", "timedelta": "duration", "guid": "uuid", "bytes": "binary", "bytea": "binary",
    "blob": "binary", "varbinary": "binary", "jsonb": "json", "object": "json", "map": "json", "variant": "json",
    "any": "json", "array": "list", "record": "struct", "row": "struct", "choice": "enum",
}  # fmt: skip
"""Types by the names that other systems have for them."""

_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|([A-Za-z0-9_.+-]+)|([(),<>:]))")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_DIGITS = re.compile("[0-9]{1,4}")

_NEEDS: Final = {
    "decimal": "its digits, and how many of them are behind the point: write decimal(18,4)",
    "enum": "its values: write enum(new, paid)",
    "list": "the type of its items: write list<string>",
    "struct": "its fields: write struct<id: int64, name: string>",
}


def _spelled(text: str) -> str:
    return str(type_of(text))


Spelling = Annotated[str, AfterValidator(_spelled)]
"""A type as it is written. Blanks do not count: what is kept is the one spelling of the type."""


@lru_cache(maxsize=4096)
def type_of(text: str) -> Type:
    """The type of this spelling. Raises `FaultError` for what is none."""
    if len(text) > MAX_CHARS:
        raise FaultError(f"the type has {len(text):,} characters: at most {MAX_CHARS:,} are taken")
    signs = re.sub("'[^']*'", "", text)
    if signs.count("(") > signs.count(")") or signs.count("<") > signs.count(">"):
        raise FaultError(
            f"{text.strip()[:_SHOWN_CHARS]} ends too early: inside of {{ }} YAML cuts at a comma: put such a type into "
            "quotes, as in 'decimal(18,4)'"
        )
    spelling = _Spelling(text)
    found = spelling.type(1)
    spelling.end()
    return found


def type_of_postgres(name: str) -> Type | None:
    """The type that a dataset file would have for this column of PostgreSQL, named as `format_type` does."""
    if name.endswith("[]"):
        item = type_of_postgres(name.removesuffix("[]"))
        found = None if item is None else Type(KINDS["list"], item=item)
        return found if found is not None and found.is_array else None
    if digits := re.fullmatch(r"numeric\((\d+),(\d+)\)", name):
        precision, scale = map(int, digits.groups())
        return Type(KINDS["decimal"], precision, scale) if scale <= precision <= MAX_PRECISION else None
    plain = [kind for kind in KINDS.values() if not kind.shape and kind.postgres == name]
    # An int8 is a smallint too, but not every smallint is one.
    return Type(plain[-1]) if plain else None


def type_forms() -> str:
    """Every type, as a message lists them."""
    return ", ".join(kind.form for kind in KINDS.values())


def unknown_type(text: str) -> str:
    """Why this name is no type, with the nearest that is one."""
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
    shown = shown if shown.isprintable() and shown.strip() else repr(shown)
    name = re.split(r"[(<\s]", text.strip().lower(), maxsplit=1)[0]
    near = [_MEANT[name]] if name in _MEANT else difflib.get_close_matches(name, list(KINDS), 1, _ALIKE)
    advice = f": did you mean {KINDS[near[0]].form}?" if near else ""
    return f"{shown} is none of {type_forms()}{advice}"


class _Spelling:
    """Reads a type from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def type(self, depth: int) -> Type:
        start = self._place
        quoted, name, _ = self._next()
        kind = KINDS.get(name or "")
        if kind is None or quoted is not None:
            written = self._text[start:].strip()
            raise FaultError(
                unknown_type(written if depth == 1 else re.split("[,>)]", written, maxsplit=1)[0])
            )
        if depth > MAX_DEPTH:
            raise FaultError(f"types lie more than {MAX_DEPTH} deep in each other: take json for this")
        if not kind.shape:
            return Type(kind)
        if self._next()[2] != kind.shape[0]:
            raise FaultError(f"{kind.name} needs {_NEEDS[kind.name]}")
        match kind.name:
            case "decimal":
                return self._decimal()
            case "enum":
                return self._enum()
            case "list":
                found = Type(kind, item=self.type(depth + 1))
                self._close(">", kind.name)
                return found
        return self._struct(depth)

    def end(self) -> None:
        if rest := self._text[self._place :].strip():
            raise FaultError(
                f"{self._text.strip()[:_SHOWN_CHARS]}: nothing is expected after the type, not {rest[:_SHOWN_CHARS]}"
            )

    def _decimal(self) -> Type:
        digits = [self._next()[1]]
        if (sign := self._next()[2]) == ",":
            digits.append(self._next()[1])
            sign = self._next()[2]
        if sign != ")" or not all(text and _DIGITS.fullmatch(text) for text in digits):
            raise FaultError(f"decimal needs {_NEEDS['decimal']}")
        precision, scale = int(digits[0] or 0), int(digits[1] or 0) if len(digits) > 1 else 0
        if not 1 <= precision <= MAX_PRECISION:
            raise FaultError(f"decimal({precision},{scale}): 1 to {MAX_PRECISION} digits can be held")
        if scale > precision:
            raise FaultError(
                f"decimal({precision},{scale}): of {precision} digits {scale} cannot be behind the point"
            )
        return Type(KINDS["decimal"], precision, scale)

    def _enum(self) -> Type:
        values: list[str] = []
        while True:
            quoted, word, _ = self._next()
            value = quoted.replace("''", "'") if quoted is not None else word
            if value is None:
                raise FaultError(
                    f"enum needs {_NEEDS['enum']}; a value that is no single word goes into single quotes"
                )
            if "\0" in value:
                raise FaultError("enum: PostgreSQL holds no text with a NUL character")
            if value in values:
                raise FaultError(f"enum: {value} is named twice")
            values.append(value)
            if not self._goes_on(")", "enum", len(values)):
                return Type(KINDS["enum"], values=tuple(values))

    def _struct(self, depth: int) -> Type:
        fields: dict[str, Type] = {}
        known: set[str] = set()
        while True:
            name = self._next()[1]
            if name is None or not _FIELD.fullmatch(name) or self._next()[2] != ":":
                raise FaultError(
                    f"struct needs {_NEEDS['struct']}; a name has letters, digits and _, at most 63"
                )
            if name.lower() in known:
                raise FaultError(
                    f"struct: {name} is named twice; Athena and Spark tell no large letters from small ones"
                )
            known.add(name.lower())
            fields[name] = self.type(depth + 1)
            if not self._goes_on(">", "struct", len(fields)):
                return Type(KINDS["struct"], fields=tuple(fields.items()))

    def _goes_on(self, end: str, name: str, parts: int) -> bool:
        sign = self._next()[2]
        if sign not in {",", end}:
            raise FaultError(f"{name} needs {_NEEDS[name]}: a comma or {end} is missing")
        if sign == "," and parts >= MAX_PARTS:
            raise FaultError(f"{name}: at most {MAX_PARTS} are taken")
        return sign == ","

    def _close(self, end: str, name: str) -> None:
        if self._next()[2] != end:
            raise FaultError(f"{name} needs {_NEEDS[name]}: {end} is missing")

    def _next(self) -> tuple[str | None, str | None, str | None]:
        """A text in quotes, a word or a sign; none of them at the end and for any other character."""
        match = _TOKEN.match(self._text, self._place)
        if match is None:
            return None, None, None
        self._place = match.end()
        quoted, word, sign = match.groups()
        return quoted, word, sign
