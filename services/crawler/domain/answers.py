"""Classifies an answer that is not plainly an array: empty, an error message, or something else."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import msgspec

from services.crawler.domain.error_messages import error_message, printable
from services.crawler.domain.json_structure import BLANK, JsonStructure, UnclosedJsonError

NAMED_KEYS = 10
"""Of an object that came instead of an array, in the message."""

LOOKED_AT_MEMBERS = 1000
"""For an error message. An object with more members is data."""

KEY_CHARS = 40
QUOTED_BYTES = 400
TITLE_WITHIN_BYTES = 64 * 1024

_ARRAY, _OBJECT, _QUOTE = b'[{"'
_NO_RECORDS = frozenset(
    {
        "links",
        "_links",
        "link",
        "messages",
        "warnings",
        "notices",
        "facets",
        "aggregations",
        "filters",
        "included",
        "meta",
        "metadata",
        "page",
        "pages",
        "paging",
        "pagination",
    }
)
"""Arrays of objects that stand beside the records, and objects that hold such."""

LEVELS_SEARCHED = 3
"""For records that are elsewhere."""

_EMPTY = frozenset({b"null", b'""'})
_WEB_PAGE = re.compile(rb"<(?:!doctype html|!--|[a-z][a-z0-9]*[\s>/])", re.IGNORECASE)
_TITLE = re.compile(rb"<(?:title|h1)[^>]*+>([^<]++)<", re.IGNORECASE)


class BadBodyError(Exception):
    """The body is not what was asked for. `retryable`: the source may do better the next time.

    `outcome` is a metric's label.
    """

    def __init__(self, detail: str, *, retryable: bool = True, outcome: str = "body") -> None:
        super().__init__(detail)
        self.retryable = retryable
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Empty:
    """An answer without records. `lacking` names what it has instead of an array; "" where it has one that is empty."""

    lacking: str = ""


@contextmanager
def structure_expected() -> Iterator[None]:
    """Raises `BadBodyError` where brackets or texts are not closed."""
    try:
        yield
    except UnclosedJsonError as error:
        raise BadBodyError(f"not JSON: {error}") from error


def refuse_rest(answer: JsonStructure, at: int) -> None:
    """Raises `UnclosedJsonError` where anything but blanks follows."""
    rest = answer.skip_blank(at)
    if rest != len(answer.data):
        raise UnclosedJsonError(f"something follows its end, at byte {rest}: {_quoted(answer.data[rest:])}")


def find_array(
    answer: JsonStructure, path: Sequence[str], what: str, *, is_first: bool = False, is_strict: bool = True
) -> int | Empty:
    """Where the array of `what` begins that `path` leads to, or that the answer is empty. Raises `BadBodyError`.

    Empty are no body, `null`, `{}`, `[]` and `""`, each of them on the way too, and a key that is not there. Of a
    key that is there twice the last counts. A key that is not there beside an array of objects does not
    mean empty, unless the answer is a later one and not `is_strict`.
    """
    with structure_expected():
        at = answer.skip_blank(0)
        if answer.data.startswith(b"{", at):
            _refuse_lines(answer, answer.end_of(at))
            refuse_rest(answer, answer.end_of(at))
        return _Search(answer, path, what, is_first=is_first, is_strict=is_strict).follow(at)


def _refuse_lines(answer: JsonStructure, end: int) -> None:
    """Of JSON values that stand one below the other. Raises `BadBodyError`."""
    following = answer.skip_blank(end)
    if b"\n" in answer.data[end:following] and answer.data.startswith(b"{", following):
        raise BadBodyError("the answer is one JSON value per line; a JSON array is expected", retryable=False)


def no_json(body: bytes) -> BadBodyError:
    """The error of a body that is not JSON."""
    body = body.lstrip(BLANK)
    if (title := web_page_title(body)) is not None:
        return BadBodyError(f"not JSON: the answer is a web page: {title or _quoted(body)}")
    kind = "XML" if body.startswith(b"<") else "a text that begins"
    return BadBodyError(f"not JSON: the answer is {kind}: {_quoted(body)}")


def web_page_title(body: bytes) -> str | None:
    """Of a body that begins as HTML does, "" where it has none; None of any other body."""
    if not _WEB_PAGE.match(body):
        return None
    title = _TITLE.search(body, 0, TITLE_WITHIN_BYTES)
    return _quoted(title[1]) if title else ""


class _Search:
    """For the array, along its path."""

    def __init__(
        self, answer: JsonStructure, path: Sequence[str], what: str, *, is_first: bool, is_strict: bool
    ) -> None:
        self._answer = answer
        self._is_first = is_first
        self._is_strict = is_strict
        self._path = path
        self._what = what
        self._objects: list[int] = []

    def follow(self, at: int) -> int | Empty:
        stop = len(self._answer.data)
        for place, key in enumerate(self._path):
            above = self._path[:place]
            if not self._is(b"{", at):
                self._refuse_all_but_empty(at, stop, above, f"an object with the key {_short(key)}")
                return self._empty(at, stop, above)
            self._objects.append(at)
            found = None
            for name, *span in self._answer.members(at):
                if name == key:
                    found = span
            if found is None:
                self._refuse_error_message(has_array=False)
                if self._is_first or self._is_strict:
                    self._refuse_other_records(at, above, key)
                return self._without(at, self._path[: place + 1])
            at, stop = found
        if self._is(b"[", at) and not self._answer.is_empty(at):
            return at
        self._refuse_all_but_empty(at, stop, self._path, f"an array of {self._what}")
        return self._empty(at, stop, self._path)

    def _without(self, at: int, path: Sequence[str]) -> Empty:
        """Of an object that lacks the last key of the path."""
        place = _dotted(path[:-1]) or "the answer"
        keys = self._keys(self._first_members(at))
        return Empty(
            f"{place} has no {_short(path[-1])}; " + (f"its keys are {keys}" if keys else "it is empty")
        )

    def _empty(self, at: int, stop: int, above: Sequence[str]) -> Empty:
        """Of a value that is empty in one of its forms."""
        if self._is(b"[", at):
            return Empty()
        value = self._answer.data[at:stop].rstrip(BLANK)
        form = "an empty object" if self._is(b"{", at) else "null" if value == b"null" else "empty"
        return Empty(f"{_dotted(above) or 'the answer'} is {form}, no array")

    def _refuse_other_records(self, at: int, above: Sequence[str], key: str) -> None:
        """A path that is written wrong must not look like an empty source. Raises `BadBodyError`."""
        inner = self._records_in(at)
        if not inner:
            return
        holder = _dotted(inner)
        if not self._is_first:
            raise BadBodyError(f"there is no {_short(key)} in the answer, and {holder} holds records")
        path = ", ".join(_short(step) for step in [*above, *inner])
        raise BadBodyError(
            f"there is no {_short(key)} in the answer, and {holder} holds records: write records_path: [{path}]",
            retryable=False,
        )

    def _records_in(self, at: int) -> list[str]:
        """The keys that lead from the object to the nearest array of objects."""
        level: list[tuple[list[str], int]] = [([], at)]
        for _ in range(LEVELS_SEARCHED):
            below: list[tuple[list[str], int]] = []
            for path, start in level:
                for name, value, _ in self._first_members(start):
                    if name.lower() in _NO_RECORDS:
                        continue
                    if self._is(b"[", value) and self._is(b"{", self._answer.skip_blank(value + 1)):
                        return [*path, name]
                    if self._is(b"{", value):
                        below.append(([*path, name], value))
            level = below[:LOOKED_AT_MEMBERS]
        return []

    def _refuse_all_but_empty(self, at: int, stop: int, above: Sequence[str], expected: str) -> None:
        """Of a value that is not what is expected. Raises `BadBodyError`."""
        if self._is(b"{", at):
            self._objects.append(at)
        self._refuse_error_message()
        if self._is(b"{", at) or self._is(b"[", at):
            if not self._answer.is_empty(at):
                raise self._other(above, expected, self._described(at, above))
            return
        value = self._answer.data[at:stop].rstrip(BLANK)
        if value and value not in _EMPTY:
            try:
                msgspec.json.decode(value)
            except (msgspec.MsgspecError, ValueError):
                raise no_json(value) from None
            name = (
                "a text" if value[0] == _QUOTE else "a number" if value[0] in b"-0123456789" else "a boolean"
            )
            raise self._other(above, expected, f"{name}: {_quoted(value)}")

    def _other(self, above: Sequence[str], expected: str, found: str) -> BadBodyError:
        place = f"{_dotted(above)} is" if above else "the answer is"
        return BadBodyError(f"{expected} is expected; {place} {found}")

    def _described(self, at: int, above: Sequence[str]) -> str:
        if self._is(b"[", at):
            return "an array" if above else "an array: leave records_path out"
        inner = self._array_in([(key, start) for key, start, _ in self._first_members(at)])
        hint = f": write records_path: [{', '.join([*above, *inner])}]" if inner else ""
        return f"an object with the keys {self._keys(self._first_members(at))}{hint}"

    def _keys(self, members: Iterator[tuple[str, int, int]]) -> str:
        found = [_short(key) for key, _, _ in islice(members, NAMED_KEYS + 1)]
        return ", ".join(found[:NAMED_KEYS]) + (" and more" if len(found) > NAMED_KEYS else "")

    def _array_in(self, members: Sequence[tuple[str, int]]) -> list[str]:
        """The keys that lead to the first array, one or two."""
        for key, at in members:
            if self._is(b"[", at):
                return [_short(key)]
        for key, at in members:
            if self._is(b"{", at):
                for inside, start, _ in self._first_members(at):
                    if self._is(b"[", start):
                        return [_short(key), _short(inside)]
        return []

    def _refuse_error_message(self, *, has_array: bool = True) -> None:
        data = self._answer.data
        for at in self._objects:
            members = ((key, data[start:stop]) for key, start, stop in self._first_members(at))
            message = error_message(members, has_array=has_array)
            if message is not None:
                raise BadBodyError(f"the source answers with an error: {message}")

    def _first_members(self, at: int) -> Iterator[tuple[str, int, int]]:
        return islice(self._answer.members(at), LOOKED_AT_MEMBERS)

    def _is(self, bracket: bytes, at: int) -> bool:
        return self._answer.data.startswith(bracket, at)


def _short(key: str) -> str:
    return printable(key, KEY_CHARS)


def _dotted(path: Sequence[str]) -> str:
    return _short(".".join(path))


def _quoted(text: bytes) -> str:
    return printable(text[:QUOTED_BYTES].decode("utf-8", "replace"))
