"""Lines that a transform refuses are in quarantine, and those alone: each other one is named."""

from collections.abc import Mapping

import polars as pl
import pytest

from console.verify.database import Result, Run
from console.verify.expected import Batch
from console.verify.findings import Findings
from console.verify.forms import Forms
from console.verify.transformed import transformed_rows
from shared.datasets.transform import Step
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Sandbox
from tests.unit.console.verify.conftest import START, dataset_of

LOSES_THE_KEY_OF_3 = Step(sql="SELECT * REPLACE (CASE WHEN id = 3 THEN NULL ELSE id END AS id) FROM batch")
FIRST_POSITION = 100
GOOD = "it is refused (type), though nothing is wrong with it and its transform does not refuse it"


def batch_with(refused_after: Mapping[int, str]) -> Batch:
    dataset = dataset_of({"id": "int64", "name": "string"}).model_copy(
        update={"transform": (LOSES_THE_KEY_OF_3,)}
    )
    run = Run("first", "partial", START, START, ("d",), {}, None, None, {"d": 1})
    return Batch(
        number=0,
        run=run,
        run_number=0,
        processed=Result("first", "d", 0, "0" * 32, "processor", "done", None, (5, 4, 1, 0, 0, 0, 0, 0), ()),
        form=Forms("onpoint_d", {}, {"d": dataset}, Findings()).of_file(dataset),
        read_by=dataset,
        version=1,
        source=None,
        first_position=FIRST_POSITION,
        page_size=0,
        stages=frozenset({"processor"}),
        refused_after=refused_after,
    )


@pytest.mark.parametrize(
    ("in_quarantine", "named"),
    [
        ({3: "no_key"}, []),
        (
            {3: "no_key", 1: "type"},
            [f"d record 101 of first: {GOOD}"],
        ),
        ({}, ["d record 103 of first: its transform refuses it, and it is not in quarantine"]),
        ({3: "no_key", 4: "too_large"}, []),
    ],
    ids=["right", "a good record is in quarantine", "a refused one is not", "its room is not measured here"],
)
def test_a_record_that_is_wrongly_in_quarantine_or_not_there_is_named(
    in_quarantine: Mapping[int, str], named: list[str]
) -> None:
    findings = Findings()
    ids = list(range(5))
    rows = pl.DataFrame(
        {
            "id": ids,
            "name": ["n"] * 5,
            "_source_position": [FIRST_POSITION + place for place in ids],
        }
    )
    with Sandbox() as sandbox:
        transformed_rows(batch_with(in_quarantine), rows, Transformer(sandbox=sandbox), findings)
    assert [f"{found.subject}: {found.message}" for found in findings.violations] == named
