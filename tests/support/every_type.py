"""Any type, and values of it: as a record of a source writes them, and as they must be stored."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
from hypothesis import strategies as st

from shared.datasets.types import KINDS, MAX_PRECISION, NUMBERS, WHOLE_BITS, Type

Written = tuple[str, Any]
"""The text of JSON, and the stored value as `to_pylist` of Arrow gives it."""

ENUM = ("new", "paid", "sent out", "it's")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)

PLAIN = tuple(kind.name for kind in KINDS.values() if not kind.shape)


@st.composite
def decimals(draw: st.DrawFn) -> Type:
    precision = draw(st.integers(1, MAX_PRECISION))
    return Type(KINDS["decimal"], precision, draw(st.integers(0, precision)))


SCALARS = st.one_of(
    st.sampled_from(PLAIN).map(lambda name: Type(KINDS[name])),
    decimals(),
    st.just(Type(KINDS["enum"], values=ENUM)),
)
NAMES = st.sampled_from(["a", "b", "Camel", "snake_case", "_x"])


def _nested(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    lists = inner.map(lambda item: Type(KINDS["list"], item=item))
    fields = st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=lambda field: field[0])
    return lists | fields.map(lambda found: Type(KINDS["struct"], fields=tuple(found)))


TYPES = st.recursive(SCALARS, _nested, max_leaves=4)


def values(kind: Type) -> st.SearchStrategy[Written]:
    """Also null."""
    return st.one_of(st.just(("null", None)), _values(kind))


def _values(kind: Type) -> st.SearchStrategy[Written]:
    if kind.name in WHOLE_BITS:
        limit = 2 ** (WHOLE_BITS[kind.name] - 1)
        return st.integers(-limit, limit - 1).map(lambda number: (str(number), number))
    if kind.item is not None:
        return st.lists(values(kind.item), max_size=4).map(_list)
    if kind.fields:
        return st.tuples(*(values(inner) for _, inner in kind.fields)).map(lambda found: _struct(kind, found))
    return _numbers(kind) if kind.name in NUMBERS else _texts(kind)


def _numbers(kind: Type) -> st.SearchStrategy[Written]:
    if kind.name == "decimal":
        most = 10**kind.precision - 1
        return st.tuples(st.integers(-most, most), st.booleans()).map(lambda found: _decimal(kind, *found))
    width: Literal[32, 64] = 32 if kind.name == "float32" else 64
    return st.floats(allow_nan=False, allow_infinity=False, width=width).map(lambda x: (repr(x), x))


def _texts(kind: Type) -> st.SearchStrategy[Written]:
    return st.sampled_from(kind.values).map(_quoted) if kind.name == "enum" else _OF[kind.name]


def _quoted(text: str) -> Written:
    return json.dumps(text), text


def _list(items: list[Written]) -> Written:
    return f"[{', '.join(text for text, _ in items)}]", [value for _, value in items]


def _struct(kind: Type, found: tuple[Written, ...]) -> Written:
    pairs = list(zip((name for name, _ in kind.fields), found, strict=True))
    text = ", ".join(f"{json.dumps(name)}: {text}" for name, (text, _) in reversed(pairs))
    return f"{{{text}}}", {name: value for name, (_, value) in pairs}


def _decimal(kind: Type, unscaled: int, is_text: bool) -> Written:
    digits = str(abs(unscaled)).zfill(kind.scale + 1)
    cut = len(digits) - kind.scale
    text = f"{'-' if unscaled < 0 else ''}{digits[:cut]}{'.' if kind.scale else ''}{digits[cut:]}"
    value = Decimal((int(unscaled < 0), tuple(map(int, str(abs(unscaled)))), -kind.scale))
    return (json.dumps(text) if is_text else text), value


def _stamp(moment: datetime) -> Written:
    return json.dumps(moment.replace(tzinfo=None).isoformat() + "Z"), moment


def _duration(micros: int, as_text: bool) -> Written:
    seconds, behind = divmod(abs(micros), 10**6)
    sign = "-" if micros < 0 else ""
    number = f"{seconds}.{behind:06}"
    return (f'"{sign}PT{number}S"' if as_text else f"{sign}{number}"), micros


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def canonical(value: Any) -> str:
    """As the reference has it: keys in order, no blanks, each number by its value."""
    match value:
        case None | True | False | str():
            return json.dumps(value, ensure_ascii=False)
        case int() | float() | Decimal():
            return _number(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
        case list():
            return f"[{','.join(map(canonical, value))}]"
    return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"


def _number(value: Decimal) -> str:
    if value == 0:
        return "0"
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    power = int(exponent) + len(text) - len(text.rstrip("0"))
    text = text.rstrip("0")
    places = len(text) + power
    if 0 <= power <= 20:
        found = text + "0" * power
    elif places > 0 and power < 0:
        found = f"{text[:places]}.{text[places:]}"
    elif -6 < places <= 0:
        found = f"0.{'0' * -places}{text}"
    else:
        found = f"{text[0]}{'.' if text[1:] else ''}{text[1:]}e{places - 1}"
    return ("-" if sign else "") + found


_MICROS = st.integers(-(2**63) + 2, 2**63 - 2)
_OF: dict[str, st.SearchStrategy[Written]] = {
    "string": TEXTS.map(_quoted),
    "boolean": st.booleans().map(lambda value: (json.dumps(value), value)),
    "timestamp": st.datetimes(timezones=st.just(UTC)).map(_stamp),
    "date": st.dates().map(lambda day: (f'"{day.isoformat()}"', day)),
    "time": st.times().map(lambda clock: (f'"{clock.isoformat()}"', clock.isoformat("microseconds"))),
    "duration": st.tuples(_MICROS, st.booleans()).map(lambda found: _duration(*found)),
    "uuid": st.uuids().map(lambda value: (f'"{str(value).upper()}"', str(value))),
    "binary": st.binary(max_size=20).map(lambda data: (json.dumps(base64.b64encode(data).decode()), data)),
    "json": JSON_VALUES.filter(lambda value: value is not None).map(
        lambda value: (json.dumps(value), canonical(value))
    ),
}


def in_postgres(kind: Type, value: Any) -> Any:
    """As asyncpg reads it, with the texts of jsonb decoded and its numbers as decimals."""
    if value is None:
        return None
    if kind.postgres == "jsonb":
        return as_json(kind, value)
    if kind.item is not None:
        return [in_postgres(kind.item, item) for item in value]
    match kind.name:
        case "time":
            return time.fromisoformat(value)
        case "duration":
            return timedelta(microseconds=value)
    return value


def as_json(kind: Type, value: Any) -> Any:
    """As it stands inside of a document: its numbers are decimals."""
    if value is None:
        return None
    if kind.item is not None:
        return [as_json(kind.item, item) for item in value]
    if kind.fields:
        return {name: as_json(inner, value[name]) for name, inner in kind.fields}
    if isinstance(value, bool):
        return value
    if kind.name in _IN_DOCUMENTS:
        return _IN_DOCUMENTS[kind.name](value)
    return Decimal(value) if isinstance(value, int) else value


def _shortest_single(value: float) -> str:
    return str(pa.scalar(value, pa.float32()).cast(pa.string()))


_IN_DOCUMENTS: dict[str, Callable[[Any], Any]] = {
    "timestamp": lambda moment: moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
    "date": date.isoformat,
    "binary": lambda data: base64.b64encode(data).decode(),
    "json": lambda text: json.loads(text, parse_int=Decimal, parse_float=Decimal),
    "duration": lambda micros: Decimal(micros) / 10**6,
    "float32": lambda number: Decimal(_shortest_single(number)),
    "float64": lambda number: Decimal(repr(number)),
}
