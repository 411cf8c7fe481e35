"""The YAML of a dataset file: its values and where each was written, in one pass over libyaml's events.

Nothing recurses and nothing is made but texts, numbers, booleans, days, lists and mappings, so a hostile file costs
no more than its bytes.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from shared.datasets.syntax import explain_syntax

MAX_BYTES = 2**20
"""1,500 columns with long paths take a fifth of it."""

MAX_DEPTH = 16
"""A dataset file needs five."""

MAX_ALIASES = 1_000

_CORE = "tag:yaml.org,2002:"
_MERGE = f"{_CORE}merge"
_SCALARS = frozenset({f"{_CORE}{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")})
_RESOLVERS: dict[str, list[tuple[str, Any]]] = Resolver.yaml_implicit_resolvers


class DocumentError(Exception):
    """The text cannot be read as a dataset document; `line` counts from 1."""

    def __init__(self, line: int, reason: str, *more: tuple[int, str]) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.more = more
        """Line and reason of each further mistake."""


@dataclass(slots=True)
class Mark:
    """Where a value was written, and how."""

    line: int
    text: str | None = None
    """A plain scalar's text, which YAML may have read as something else than a text."""
    fields: dict[str, "tuple[int, Mark]"] = field(default_factory=dict)
    """Of a mapping: the line of each name, and its value's mark."""
    items: list["Mark"] = field(default_factory=list)
    """Of a list."""

    def at(self, steps: tuple[str | int, ...]) -> "tuple[int, Mark | None]":
        """The line of the deepest part of the way that was written, and the mark at its end if all of it was."""
        line, here = self.line, self
        for step in steps:
            if isinstance(step, str) and step in here.fields:
                line, here = here.fields[step]
            elif isinstance(step, int) and step < len(here.items):
                here = here.items[step]
                line = here.line
            else:
                return line, None
        return line, here


def read_document(data: bytes) -> tuple[dict[str, Any], Mark]:
    """The file's mapping and its marks. Raises `DocumentError`."""
    if len(data) > MAX_BYTES:
        raise DocumentError(1, f"the file has {len(data):,} bytes, at most {MAX_BYTES:,} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError(line, "the file is not UTF-8: save it as UTF-8") from error
    _refuse_control(text)
    value, mark = _build(text)
    if value is None and mark.text is None:
        raise DocumentError(
            1, "the file is empty: a dataset file is a mapping with name, source, table, key, columns"
        )
    if not isinstance(value, dict):
        is_list = isinstance(value, list)
        found = "it begins with a list (a hyphen)" if is_list else "there is no field with a colon in it"
        raise DocumentError(
            mark.line, f"a dataset file is a mapping with name, source, table, key, columns; {found}"
        )
    return value, mark


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read."""

    value: Any
    mark: Mark
    anchor: str | None
    name: Any = None
    """Of a mapping: the field whose value comes next."""
    name_line: int = 0
    is_named: bool = False
    merged: list[tuple[dict[str, Any], Mark]] = field(default_factory=list)


class _Builder:
    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, Mark]] = {}
        self._aliases = 0
        self.root: tuple[Any, Mark] | None = None

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            is_plain = event.implicit[0]
            tag = _tag_of(event, line)
            if tag == _MERGE and not self._expects_name():
                tag = f"{_CORE}str"
            mark = Mark(line, event.value if is_plain else None)
            value = _MERGE if tag == _MERGE else _scalar(event.value, tag, line)
            self._keep_anchor(event.anchor, value, mark)
            self._put(value, mark)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            is_mapping = isinstance(event, yaml.MappingStartEvent)
            _check_tag(event, f"{_CORE}{'map' if is_mapping else 'seq'}", line)
            if self._expects_name():
                raise DocumentError(line, "a name is expected before the colon, not a list or a mapping")
            if len(self._open) >= MAX_DEPTH:
                raise DocumentError(line, f"lists and mappings lie more than {MAX_DEPTH} levels deep")
            self._open.append(_Open({} if is_mapping else [], Mark(line), event.anchor))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._open.pop()
            _merge(done)
            self._keep_anchor(done.anchor, done.value, done.mark)
            self._put(done.value, done.mark)
        elif isinstance(event, yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MAX_ALIASES:
                raise DocumentError(line, f"more than {MAX_ALIASES:,} references with *")
            if event.anchor not in self._anchors:
                raise DocumentError(
                    line, f"*{event.anchor} refers to nothing: &{event.anchor} must stand before it"
                )
            self._put(*self._anchors[event.anchor])

    def _expects_name(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and not self._open[-1].is_named

    def _keep_anchor(self, anchor: str | None, value: Any, mark: Mark) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, mark)

    def _put(self, value: Any, mark: Mark) -> None:
        if not self._open:
            self.root = (value, mark)
            return
        holder = self._open[-1]
        if isinstance(holder.value, list):
            holder.value.append(value)
            holder.mark.items.append(mark)
        elif not holder.is_named:
            _name(holder, value, mark)
        else:
            _set(holder, value, mark)


def _name(holder: _Open, name: Any, mark: Mark) -> None:
    if not isinstance(name, str):
        what = as_read(name)
        raise DocumentError(mark.line, f"YAML reads the name {mark.text} as {what}: put it in quotes")
    if name in holder.mark.fields:
        first = holder.mark.fields[name][0]
        where = f"in lines {first} and {mark.line}" if first != mark.line else f"in line {first}"
        raise DocumentError(mark.line, f"`{name}` is written twice, {where}: keep one of them")
    holder.name, holder.name_line, holder.is_named = name, mark.line, True


def _set(holder: _Open, value: Any, mark: Mark) -> None:
    holder.is_named = False
    if holder.name == _MERGE:
        values, marks = ([value], [mark]) if isinstance(value, dict) else (value, mark.items)
        if not isinstance(values, list) or not all(isinstance(part, dict) for part in values):
            raise DocumentError(holder.name_line, "<< takes a mapping, or a list of mappings")
        holder.merged += zip(values, marks, strict=True)
    else:
        holder.value[holder.name] = value
        holder.mark.fields[holder.name] = (holder.name_line, mark)


def _merge(done: _Open) -> None:
    """What `<<` brings never replaces what is written out, and of two the earlier counts."""
    for value, mark in done.merged:
        for name, part in value.items():
            if name not in done.value:
                done.value[name] = part
                done.mark.fields[name] = mark.fields[name]


def _build(text: str) -> tuple[Any, Mark]:
    builder = _Builder()
    try:
        for event in _events(text):
            if isinstance(event, yaml.DocumentStartEvent) and builder.root is not None:
                line: int = event.start_mark.line + 1  # type: ignore[union-attr]  # libyaml tells it of every event
                raise DocumentError(line, "a second document begins here (---): one file holds one dataset")
            builder.take(event)
    except yaml.YAMLError as error:
        raise DocumentError(*explain_syntax(error, text)) from error
    return builder.root or (None, Mark(1))


def _events(text: str) -> Iterator[Any]:
    loader: Any = yaml.CSafeLoader(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


def _refuse_control(text: str) -> None:
    if (found := _CONTROL.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise DocumentError(line, "a control character stands here: YAML takes only the tab")


def _tag_of(event: Any, line: int) -> str:
    """The type of a scalar: by its tag, or as its text looks where it stands without quotes."""
    tag: str | None = event.tag
    if tag is not None and tag != "!":
        if tag not in _SCALARS:
            raise _unknown_tag(tag, line)
        return tag
    return _looks_like(event.value) if tag is None and event.implicit[0] else f"{_CORE}str"


@lru_cache(maxsize=4096)
def _looks_like(text: str) -> str:
    for tag, looks in _RESOLVERS.get(text[:1], ()):
        if looks.match(text):
            return tag if tag in _SCALARS or tag == _MERGE else f"{_CORE}str"
    return f"{_CORE}str"


def _check_tag(event: Any, expected: str, line: int) -> None:
    if event.tag not in {None, "!", expected}:
        raise _unknown_tag(event.tag, line)


def _unknown_tag(tag: str, line: int) -> DocumentError:
    short = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
    return DocumentError(line, f"the tag {short[:60]} has no meaning in a dataset file: leave it away")


def _scalar(text: str, tag: str, line: int) -> Any:
    if tag == f"{_CORE}str":
        return text
    node = yaml.ScalarNode(tag, text)
    try:
        return _CONSTRUCTORS[tag](_CONSTRUCTOR, node)
    except (ValueError, KeyError, OverflowError) as error:
        what = tag.removeprefix(_CORE)
        name = {"timestamp": "a day or time", "int": "a number", "float": "a number"}.get(what, what)
        raise DocumentError(
            line, f"YAML reads {text[:60]} as {name}, and it is none: put it in quotes"
        ) from error


_CONSTRUCTOR = SafeConstructor()
_CONSTRUCTORS: dict[str, Any] = {tag: SafeConstructor.yaml_constructors[tag] for tag in _SCALARS}


def as_read(value: Any) -> str:
    """What YAML takes a value for, for a message."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return f"the number {value!r:.40}" if math.isfinite(value) else "no number or one without end"
    names: dict[type, str] = {str: "a text", list: "a list", dict: "a mapping"}
    return names.get(type(value), "a day or time")
