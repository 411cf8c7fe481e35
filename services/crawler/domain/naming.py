"""Names in a message: enough of them to find the right one, and none cut in the middle."""

import difflib
from collections.abc import Collection, Sequence

NAMES_LISTED = 10
COMPARED_CHARS = 64


def list_names(known: Collection[str], requested: str | None = None) -> str:
    """All names, or the `NAMES_LISTED` most like `requested` and the number of the others."""
    if not known:
        return "none"
    if len(known) <= NAMES_LISTED:
        return ", ".join(known)
    names = list(known)
    if requested is not None:
        matcher = difflib.SequenceMatcher(b=requested[:COMPARED_CHARS])
        names.sort(key=lambda name: -_likeness(matcher, name))
    more = len(names) - NAMES_LISTED
    return f"{', '.join(names[:NAMES_LISTED])} and {more} more; `onpoint datasets` lists them"


def join_errors(errors: Sequence[str], most_chars: int) -> str:
    """As many errors as fit, then the number of the others. A first one that is longer is truncated."""
    text = ""
    for number, error in enumerate(errors):
        longer = f"{text}; {error}" if text else error[:most_chars]
        rest = f"; and {len(errors) - number} more"
        if len(longer) + (len(rest) if number + 1 < len(errors) else 0) > most_chars:
            return f"{text}{rest}"[:most_chars]
        text = longer
    return text


def _likeness(matcher: "difflib.SequenceMatcher[str]", name: str) -> float:
    matcher.set_seq1(name)
    return matcher.ratio()
