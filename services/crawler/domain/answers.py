"""What an answer is, where it is not plainly an array: empty, a complaint, or something else."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import msgspec

from services.crawler.domain.complaints import complaint, printable
from services.crawler.domain.cutting import BLANK, NoStructureError, Structure

NAMED_KEYS = 10
"""Of an object that came instead of an array, in the message."""

LOOKED_AT_MEMBERS = 1000
"""For what an object says of itself. Who has more is no envelope."""

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
    }
)
"""Arrays of objects that stand beside the records."""

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


@contextmanager
def structure_expected() -> Iterator[None]:
    """What has no structure is no JSON. Raises `BadBodyError`."""
    try:
        yield
    except NoStructureError as error:
        raise BadBodyError(f"not JSON: {error}") from error


def refuse_rest(answer: Structure, at: int) -> None:
    """Raises `NoStructureError` where anything but blanks follows."""
    rest = answer.skip_blank(at)
    if rest != len(answer.data):
        raise NoStructureError(f"something follows its end, at byte {rest}: {_quoted(answer.data[rest:])}")


def find_array(answer: Structure, path: Sequence[str], what: str, *, is_first: bool = False) -> int | None:
    """Where the array of `what` begins that `path` leads to; None: the answer is empty. Raises `BadBodyError`.

    Empty are no body, `null`, `{}`, `[]` and `""`, each of them on the way too, and a key that is not there. Of a
    key that is there twice the last counts. Of a first answer, a key that is not there beside an array of objects is no
    sign that there is nothing.
    """
    with structure_expected():
        at = answer.skip_blank(0)
        if answer.data.startswith(b"{", at):
            refuse_rest(answer, answer.end_of(at))
        return _Search(answer, path, what, is_first=is_first).follow(at)


def no_json(body: bytes) -> BadBodyError:
    """In the words of a body that is no JSON."""
    body = body.lstrip(BLANK)
    if _WEB_PAGE.match(body):
        title = _TITLE.search(body, 0, TITLE_WITHIN_BYTES)
        return BadBodyError(f"not JSON: the answer is a web page: {_quoted(title[1] if title else body)}")
    kind = "XML" if body.startswith(b"<") else "a text that begins"
    return BadBodyError(f"not JSON: the answer is {kind}: {_quoted(body)}")


class _Search:
    """For the array, along its path."""

    def __init__(self, answer: Structure, path: Sequence[str], what: str, *, is_first: bool) -> None:
        self._answer = answer
        self._is_first = is_first
        self._path = path
        self._what = what
        self._objects: list[int] = []

    def follow(self, at: int) -> int | None:
        stop = len(self._answer.data)
        for place, key in enumerate(self._path):
            if not self._is(b"{", at):
                self._refuse_all_but_empty(
                    at, stop, self._path[:place], f"an object with the key {_short(key)}"
                )
                return None
            self._objects.append(at)
            found = None
            for name, *span in self._answer.members(at):
                if name == key:
                    found = span
            if found is None:
                self._refuse_complaint(has_array=False)
                if self._is_first:
                    self._refuse_other_records(at, self._path[:place], key)
                return None
            at, stop = found
        if self._is(b"[", at) and not self._answer.is_empty(at):
            return at
        self._refuse_all_but_empty(at, stop, self._path, f"an array of {self._what}")
        return None

    def _refuse_other_records(self, at: int, above: Sequence[str], key: str) -> None:
        """A path that is written wrong must not look like an empty source. Raises `BadBodyError`."""
        for name, start, _ in self._first_members(at):
            if name.lower() in _NO_RECORDS or not self._is(b"[", start):
                continue
            inside = self._answer.skip_blank(start + 1)
            if self._is(b"{", inside):
                path = ", ".join(_short(step) for step in [*above, name])
                raise BadBodyError(
                    f"there is no {_short(key)} in the answer, and {_short(name)} holds records: "
                    f"say records_path: [{path}]",
                    retryable=False,
                )

    def _refuse_all_but_empty(self, at: int, stop: int, above: Sequence[str], expected: str) -> None:
        """Of a value that is not what is expected. Raises `BadBodyError`."""
        if self._is(b"{", at):
            self._objects.append(at)
        self._refuse_complaint()
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
        place = f"{_short('.'.join(above))} is" if above else "the answer is"
        return BadBodyError(f"{expected} is expected; {place} {found}")

    def _described(self, at: int, above: Sequence[str]) -> str:
        if self._is(b"[", at):
            return "an array" if above else "an array: leave records_path out"
        found = [(key, start) for key, start, _ in self._first_members(at)]
        keys = ", ".join(_short(key) for key, _ in found[:NAMED_KEYS])
        more = " and more" if len(found) > NAMED_KEYS else ""
        inner = self._array_in(found)
        hint = f": say records_path: [{', '.join([*above, *inner])}]" if inner else ""
        return f"an object with the keys {keys}{more}{hint}"

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

    def _refuse_complaint(self, *, has_array: bool = True) -> None:
        data = self._answer.data
        for at in self._objects:
            members = ((key, data[start:stop]) for key, start, stop in self._first_members(at))
            said = complaint(members, has_array=has_array)
            if said is not None:
                raise BadBodyError(f"the source answers with an error: {said}")

    def _first_members(self, at: int) -> Iterator[tuple[str, int, int]]:
        return islice(self._answer.members(at), LOOKED_AT_MEMBERS)

    def _is(self, bracket: bytes, at: int) -> bool:
        return self._answer.data.startswith(bracket, at)


def _short(key: str) -> str:
    return printable(key, KEY_CHARS)


def _quoted(text: bytes) -> str:
    return printable(text[:QUOTED_BYTES].decode("utf-8", "replace"))
