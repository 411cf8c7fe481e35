from tests.support.defects import books, events, files, rows

ALL = (*rows.defect.all, *books.defect.all, *files.defect.all, *events.defect.all)
"""Each is one thing that is wrong, and must be found and named."""
