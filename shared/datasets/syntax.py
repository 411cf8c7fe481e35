"""What libyaml finds wrong with a text, with what to change."""

import re
from typing import Any

_MESSAGES = {
    "mapping values are not allowed": (
        "a colon stands where none can be: put a value that holds one in quotes, indent this line as its neighbours "
        "are, and leave a blank after the colon of the line above"
    ),
    "did not find expected key": (
        "a field is expected here, written `name: value`: compare this line's indentation with the lines above"
    ),
    "could not find expected ':'": "a field is expected here, written `name: value`: a colon and a blank are missing",
    "did not find expected '-' indicator": (
        "a list goes on with a hyphen: indent this line below the list's item, or end the list before it"
    ),
    "did not find expected ',' or ']'": "a [ is not closed, or a comma is missing between two values",
    "did not find expected ',' or '}'": "a { is not closed, or a comma is missing between two fields",
    "did not find expected node content": "a value is expected here: a [ or { is not closed, or a comma is too much",
    "found unexpected ':'": "inside { } and [ ] a colon needs a blank after it, and a value that holds one needs quotes",
    "block sequence entries are not allowed": "a list (a hyphen) cannot begin here: begin it on a line of its own",
    "found unexpected end of stream": "a quote that was opened is not closed",
    "found unexpected document indicator": "a quote that was opened is not closed",
    "found unknown escape character": (
        r"in double quotes a backslash begins an escape: write \\ for it, or use single quotes, as in 'user\.name'"
    ),
    "did not find expected hexdecimal number": r"in double quotes \x and \u need hexadecimal digits: use single quotes",
    "found invalid Unicode character escape code": r"in double quotes \u names a character that does not exist",
    "did not find expected alphabetic or numeric character": "& and * begin a reference: put such a value in quotes",
    "found undefined tag handle": "a value that begins with ! is a tag: put it in quotes",
    "did not find expected <document start>": (
        "something stands after the end of the file's mapping: compare this line's indentation with the lines above"
    ),
    "found a tab character": "a tab stands where blanks belong: YAML indents with blanks only",
    "found incompatible YAML document": "only YAML 1.1 and 1.2 are read: leave the line with % away",
    "did not find expected comment or line break": "after | or > the text begins on the next line",
}

_NOT_CLOSED = "did not find expected ',' or"

_COLON_IN_VALUE = (
    "a colon stands inside a value: put the value in quotes, or put a comma before the field that begins here"
)

_OTHERWISE = "this line is not YAML: look at its indentation, colons, brackets and quotes"


def explain_syntax(error: Any, text: str) -> tuple[int, str]:
    """The line, from 1, and the reason."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "")
    lines = text.split("\n")
    number = 1 if mark is None else min(mark.line + 1, max(1, len(lines)))
    line = lines[number - 1]
    if "cannot start any token" in problem and mark is not None:
        sign = line[mark.column : mark.column + 1]
        if sign == "\t" or "\t" in line[: mark.column]:
            return number, _MESSAGES["found a tab character"]
        shown = _value_at(line, mark.column)
        return number, f"a value cannot begin with {sign}: put it in quotes, as in '{shown[:40]}'"
    if _NOT_CLOSED in problem and mark is not None:
        before = line[: mark.column]
        if line[mark.column : mark.column + 1] == ":" and ":" in before:
            return number, _COLON_IN_VALUE
        number = _written_before(lines, number, getattr(error, "context_mark", None))
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return number, _MESSAGES["found a tab character"]
    for known, message in _MESSAGES.items():
        if known in problem:
            return number, message
    return number, _OTHERWISE


def _value_at(line: str, column: int) -> str:
    """The value that begins there; inside { } and [ ] without what follows it."""
    rest = line[column:].strip()
    before = line[:column]
    opened = sum(map(before.count, "{[")) - sum(map(before.count, "}]"))
    return re.split(r"[,}\]]", rest, maxsplit=1)[0].strip() if opened > 0 else rest


def _written_before(lines: list[str], number: int, opened: Any) -> int:
    """The line where the bracket or comma is missing: the last with text in it before the one that shows it."""
    first = opened.line + 1 if opened is not None else 1
    for earlier in range(number - 1, first - 1, -1):
        text = lines[earlier - 1].strip()
        if text and not text.startswith("#"):
            return earlier
    return number
