from tests.support.defects import events, files, row_accounting, rows

ALL = (*rows.defect.all, *row_accounting.defect.all, *files.defect.all, *events.defect.all)
"""Each is one thing that is wrong, and must be found and named."""

ONE_OF_EACH = tuple({defect.invariant: defect for defect in reversed(ALL)}.values())[::-1]
"""The first of every invariant."""
