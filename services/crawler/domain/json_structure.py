"""Where the parts of an array or object begin and end, whatever is in them.

Nothing is interpreted but what bounds a part: texts, escapes, brackets and commas. So what is wrong inside a part
costs that part alone. Nothing recurses, and every byte is looked at a fixed number of times.
"""

import json
import re
from collections.abc import Iterator

BLANK = b" \t\r\n"

_COMMA = ord(",")
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_TEXT = re.compile(rb'"[^"]*+"')
_BOUND = re.compile(rb'(?:[^"\[\]{},]*+"[^"]*+")*+[^"\[\]{},]*+([\[\]{},])')
_BRACKETS = re.compile(rb'(?:[^"\[\]{}]*+"[^"]*+")*+[^"\[\]{}]*+([\[{]++|[\]}]++)')
_FLAT = re.compile(rb'[\[{](?:[^"\[\]{}]*+"[^"]*+")*+[^"\[\]{}]*+[\]}]')
_KEY = re.compile(rb'[ \t\r\n]*+("[^"]*+")[ \t\r\n]*+:')


class UnclosedJsonError(ValueError):
    """Brackets or texts are not closed, so the parts have no bounds."""


class JsonStructure:
    """The bounds in a JSON text, well-formed or not. Places are bytes from its beginning. Memory: a copy of the text."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._mask = _without_escapes(data)

    def skip_blank(self, at: int) -> int:
        found = _BLANKS.match(self.data, at)
        return found.end() if found else at

    def parts(self, at: int) -> Iterator[tuple[int, int]]:
        """Where each part of the array or object at `at` begins and ends: what stands between its commas.

        There is at least one; of an empty array it is blank. The value ends one byte behind the last part. Raises
        `UnclosedJsonError`.
        """
        begin = at = at + 1
        while found := _BOUND.match(self._mask, at):
            start, at = found.span(1)
            sign = self._mask[start]
            if sign == _COMMA:
                yield begin, start
                begin = at
            elif sign in b"]}":
                yield begin, start
                return
            else:
                at = self.end_of(start)
        raise self._broken(self.skip_blank(begin))

    def end_of(self, at: int) -> int:
        """The place behind the array or object at `at`. Raises `UnclosedJsonError`."""
        if flat := _FLAT.match(self._mask, at):
            return flat.end()
        depth, place = 0, at
        while found := _BRACKETS.match(self._mask, place):
            start, place = found.span(1)
            if self._mask[start] in b"[{":
                depth += place - start
            elif place - start >= depth:
                return start + depth
            else:
                depth -= place - start
        raise self._broken(at)

    def is_text(self, at: int, stop: int) -> bool:
        return _TEXT.fullmatch(self._mask, at, stop) is not None

    def members(self, at: int) -> Iterator[tuple[str, int, int]]:
        """The key of each member of the object at `at`, and where its value is. Raises `UnclosedJsonError`."""
        for start, stop in self.parts(at):
            if found := _KEY.match(self._mask, start, stop):
                yield _read_key(self.data[slice(*found.span(1))]), self.skip_blank(found.end()), stop

    def is_empty(self, at: int) -> bool:
        """Of the array or object at `at`. Raises `UnclosedJsonError`."""
        start, stop = next(self.parts(at))
        return self.skip_blank(start) == stop and self.data[stop] != _COMMA

    def _broken(self, at: int) -> UnclosedJsonError:
        return UnclosedJsonError(
            f"the value at byte {at} is not closed before the end, at byte {len(self.data)}"
        )


def on_one_line(part: bytes) -> bytes:
    """Newlines go, and those in a text (which JSON forbids) become what they must have meant."""
    if b"\n" not in part and b"\r" not in part:
        return part
    pieces, at = [], 0
    for text in _TEXT.finditer(_without_escapes(part)):
        start, stop = text.span()
        kept = part[start:stop].replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        pieces += [part[at:start].translate(None, b"\r\n"), kept]
        at = stop
    pieces.append(part[at:].translate(None, b"\r\n"))
    return b"".join(pieces)


def _without_escapes(data: bytes) -> bytes:
    """As long, and every quote that is left bounds a text."""
    return data.replace(b"\\\\", b"..").replace(b'\\"', b"..") if b"\\" in data else data


def _read_key(text: bytes) -> str:
    if b"\\" in text:
        try:
            return str(json.loads(text))
        except ValueError:
            pass
    return text[1:-1].decode("utf-8", "replace")
