"""Names in a message: enough of them to find the right one, and none cut in the middle."""

import difflib
from collections.abc import Collection, Sequence

NAMES_TOLD = 10
COMPARED_CHARS = 64


def listed(known: Collection[str], asked: str | None = None) -> str:
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


def joined(complaints: Sequence[str], most_chars: int) -> str:
    """The complaints in a row, as many as fit; what is left away is counted. A single one that is longer is cut."""
    told = ""
    for number, complaint in enumerate(complaints):
        longer = f"{told}; {complaint}" if told else complaint[:most_chars]
        rest = f"; and {len(complaints) - number} more"
        if len(longer) + (len(rest) if number + 1 < len(complaints) else 0) > most_chars:
            return f"{told}{rest}"[:most_chars]
        told = longer
    return told


def _likeness(matcher: "difflib.SequenceMatcher[str]", name: str) -> float:
    matcher.set_seq1(name)
    return matcher.ratio()
