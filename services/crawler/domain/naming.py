"""Names in a message: enough of them to find the right one, and none cut in the middle."""

import difflib
from collections.abc import Collection, Sequence

NAMES_TOLD = 10
COMPARED_CHARS = 64


def list_names(known: Collection[str], asked: str | None = None) -> str:
    """All names, or so many: those most like `asked` first, and how many more there are."""
    if not known:
        return "none"
    if len(known) <= NAMES_TOLD:
        return ", ".join(known)
    names = list(known)
    if asked is not None:
        matcher = difflib.SequenceMatcher(b=asked[:COMPARED_CHARS])
        names.sort(key=lambda name: -_likeness(matcher, name))
    more = len(names) - NAMES_TOLD
    return f"{', '.join(names[:NAMES_TOLD])} and {more} more; `onpoint datasets` lists them"


def join_errors(errors: Sequence[str], most_chars: int) -> str:
    """The errors in a row, as many as fit; what is left away is counted. A single one that is longer is cut."""
    told = ""
    for number, error in enumerate(errors):
        longer = f"{told}; {error}" if told else error[:most_chars]
        rest = f"; and {len(errors) - number} more"
        if len(longer) + (len(rest) if number + 1 < len(errors) else 0) > most_chars:
            return f"{told}{rest}"[:most_chars]
        told = longer
    return told


def _likeness(matcher: "difflib.SequenceMatcher[str]", name: str) -> float:
    matcher.set_seq1(name)
    return matcher.ratio()
