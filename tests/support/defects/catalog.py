from tests.support.defects import books, events, files, rows

ALL = (*rows.defect.all, *books.defect.all, *files.defect.all, *events.defect.all)
"""Each is one thing that is wrong, and must be found and named."""

ONE_OF_EACH = tuple({defect.invariant: defect for defect in reversed(ALL)}.values())[::-1]
"""The first of every invariant."""
