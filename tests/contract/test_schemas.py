"""The events' JSON schemas are frozen: a change shows as a diff of shared/events/schemas.

`python -m tests.contract.test_schemas` writes them anew; read the diff before you commit it.
"""

import json
from pathlib import Path

import pytest

from shared.events import models

SCHEMAS = Path(models.__file__).parent / "schemas"
EVENTS: tuple[type[models.Part], ...] = (
    models.BatchManifest,
    models.BatchUnreadable,
    models.CrawlBatchRequested,
    models.CrawlPlanned,
    models.CrawlRequest,
    models.ExportsCombineRequested,
    models.ExportsCombined,
    models.RunCompleted,
    models.RunDrained,
    models.RunSealed,
)


def schema_of(event: type[models.Part]) -> str:
    return json.dumps(event.model_json_schema(), indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_the_schema_of_an_event_is_the_one_that_was_agreed(event: type[models.Part]) -> None:
    assert (SCHEMAS / f"{event.__name__}.json").read_text() == schema_of(event), (
        f"the schema of {event.__name__} is different; if meant, `python -m tests.contract.test_schemas` makes it anew"
    )


def test_no_schema_is_left_of_an_event_that_is_gone() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == {event.__name__ for event in EVENTS}


def test_the_schema_of_every_event_is_frozen() -> None:
    classes = {each for each in vars(models).values() if isinstance(each, type)}
    events = {each for each in classes if issubclass(each, models.Event)} - {models.Event}
    assert not events - set(EVENTS), "an event is new: name it in EVENTS and write its schema"


if __name__ == "__main__":
    for each in EVENTS:
        (SCHEMAS / f"{each.__name__}.json").write_text(schema_of(each))
