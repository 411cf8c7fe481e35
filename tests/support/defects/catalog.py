from tests.support.defects import events, files, row_accounting, rows

ALL = (*rows.defect.all, *row_accounting.defect.all, *files.defect.all, *events.defect.all)
"""All defects; `onpoint verify` must find and name each."""

ONE_OF_EACH = tuple({defect.invariant: defect for defect in reversed(ALL)}.values())[::-1]
"""The first defect of every invariant."""
