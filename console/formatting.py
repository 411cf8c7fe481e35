"""Formats numbers, times and names. Pure."""

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from shared.reasons import reason_text

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400
KILO = 1000


def number(value: int) -> str:
    return f"{value:,}"


def quantity(value: int, noun: str) -> str:
    """`1 row`, `2,000 rows`, `3 batches`."""
    plural = "es" if noun.endswith("ch") else "s"
    return f"{value:,} {noun}{'' if value == 1 else plural}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`, `3 d 04 h`: never more exact than matters."""
    if seconds < 0:
        return "0 s"
    if seconds < 10:  # noqa: PLR2004 - below ten seconds a tenth is worth its place
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S:02} s"
    if whole < DAY_S:
        return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S:02} min"
    return f"{whole // DAY_S} d {whole % DAY_S // HOUR_S:02} h"


def size(byte_count: int) -> str:
    """Decimal units, as object stores bill them: `12.3 MB`."""
    if byte_count < KILO:
        return f"{byte_count} B"
    value = float(byte_count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= KILO
        if value < KILO:
            return f"{value:.1f} {unit}"
    return f"{value / KILO:,.1f} PB"


_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that a terminal obeys: control characters, and those that turn the direction of text."""


def printable(text: str) -> str:
    r"""Any text as it may be sent to a terminal: `\x1b` and its like are spelt out; tab and newline stay."""
    return _UNPRINTABLE.sub(_spelt, text)


def one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _spelt(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - two digits hold a byte


def moment(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


MOST_LISTED = 20


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`; of many the first and how many there are besides, each name whole."""
    found = list(names)
    if len(found) > MOST_LISTED:
        return f"{', '.join(found[:MOST_LISTED])} and {len(found) - MOST_LISTED:,} more"
    *first, last = found or [""]
    return f"{', '.join(first)} and {last}" if first else last


def format_reasons(counts: Mapping[str, int]) -> str:
    """`1,200 of a wrong type (type), 3 without a key (no_key)`: rows by the reason of their refusal."""
    return ", ".join(f"{rows:,} {one_line(reason_text(reason))}" for reason, rows in counts.items())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ends a sentence about a name that does not exist: what it may have been, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""
