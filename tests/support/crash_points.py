"""Where a service can be made to die: `service.point` for every `crashpoints.reach` of the code."""

OF_EVERY_SERVICE = ("publish", "commit", "dead_letter", "leave")
OF_A_STAGE_IN_STAGING = ("manifest", "death")

OF_CHANGE_CAPTURE = ("claimed", "put", "written")
"""Of the process s3sink-cdc: `cdc.point`. tests/cdc ends it at each."""

POINTS: dict[str, tuple[str, ...]] = {
    "crawler": ("request", "datasets", "plan", "put", *OF_A_STAGE_IN_STAGING, *OF_EVERY_SERVICE),
    "processor": ("columns", "put", *OF_A_STAGE_IN_STAGING, *OF_EVERY_SERVICE),
    "converter": ("put", "combined_put", "combined", *OF_A_STAGE_IN_STAGING, *OF_EVERY_SERVICE),
    "loader": ("copied", "merged", "committed", "death", *OF_EVERY_SERVICE),
    "s3sink": (
        *("assigned", "put", "written", "announced", "unusable", "told", "death"),
        *OF_EVERY_SERVICE,
    ),
    "quality": (
        *("recorded", "assigned", "announced", "checked", "listed", "completed", "relisted", "transaction"),
        *OF_EVERY_SERVICE,
    ),
}

COMPACTION = ("planned", "put", "written", "committed", "listed")
"""Of the lake: `lake.point`. A command runs it, or quality on its schedule (tests/integration/lake/test_crashes.py)."""

NEWS = ("claimed", "sent")
"""Of the sender of news in quality: `news.point` (tests/integration/quality/test_news.py)."""

OF_TABLES = ("s3sink.tabled", "lake.tabled")
"""Of datasets with a table format: `tests/integration/s3sink/test_tables.py`, `tests/integration/lake/test_tables.py`."""
