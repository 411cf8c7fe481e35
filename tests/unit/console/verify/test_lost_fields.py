"""The checker finds fields of records that are in no column though the dataset's file asks for it."""

import pytest

from console.verify.source import lost_field
from shared.datasets.model import Dataset
from shared.datasets.seen import Seen
from shared.datasets.versions import Cause, columns_at, settle
from shared.events.ids import batch_id
from tests.support.crawled import PRODUCED_AT, a_dataset

COLUMNS = [{"name": "id", "type": "int64"}]
CAUSE = Cause("run-1", batch_id("run-1", "things", 0), PRODUCED_AT)


def things(new_columns: str) -> Dataset:
    return a_dataset(COLUMNS, key=["id"], schema={"new_columns": new_columns, "max_columns": 2})


@pytest.mark.parametrize(
    ("new_columns", "lost"), [("ignore", None), ("evolve", "extra"), ("reject", "extra")]
)
def test_a_field_without_a_column(new_columns: str, lost: str | None) -> None:
    dataset = things(new_columns)
    assert lost_field(dataset, dataset, {"id": 1, "none": None, "extra": 1}) == lost
    assert lost_field(dataset, dataset, {"id": 1}) is None


def test_a_column_that_the_batch_should_have_had() -> None:
    dataset = things("evolve")
    newest = columns_at(dataset, settle(dataset, [], {"extra": Seen(has_texts=True)}, CAUSE).version)
    assert lost_field(dataset, newest, {"id": 1, "extra": "x"}) == "extra"
    assert lost_field(newest, newest, {"id": 1, "extra": "x"}) is None


def test_what_cannot_be_a_column_is_not_lost() -> None:
    dataset = things("evolve")
    fields = {"a": Seen(has_texts=True), "b": Seen(has_texts=True)}
    full = columns_at(dataset, settle(dataset, [], fields, CAUSE).version)
    for record in ({"ID": 1}, {"ctid": 1}, {"c": 1}, {"A": 1}):
        assert lost_field(full, full, {"id": 1, **record}) is None
