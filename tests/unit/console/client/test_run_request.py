import json
from datetime import UTC, datetime

import pytest

from console.client.errors import InvalidRequestError
from console.client.run_request import RunRequest, check_run_id, new_run_id
from shared.events.ids import is_run_id


@pytest.mark.parametrize("run_id", ["", "-x", ".x", "a b", "a/b", "ä", "x" * 129, "a\n"])
def test_an_id_outside_the_contract_is_refused(run_id: str) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be a run id"):
        check_run_id(run_id)


def test_ids_inside_the_contract_are_taken_as_they_are() -> None:
    assert [check_run_id(run_id) for run_id in ("2026-11-23-daily", "A", "x" * 128)] == [
        "2026-11-23-daily",
        "A",
        "x" * 128,
    ]


def test_a_generated_id_has_the_form_of_the_contract_and_is_never_given_twice() -> None:
    now = datetime(2026, 11, 23, 5, 15, 30, tzinfo=UTC)
    ids = {new_run_id(now) for _ in range(100)}

    assert len(ids) == 100
    assert all(is_run_id(run_id) and run_id.startswith("r-20261123T051530Z-") for run_id in ids)


def test_a_plain_request_has_only_the_given_fields() -> None:
    value = json.loads(RunRequest("r1", ("posts",), "me").value())

    assert value == {"run_id": "r1", "datasets": ["posts"], "requested_by": "me"}


def test_a_full_request_has_the_shape_of_the_contract() -> None:
    request = RunRequest(
        "r1", ("posts", "stories"), "Jörg", formats=("parquet", "csv"), limits={"stories": 500}
    )

    assert json.loads(request.value()) == {
        "run_id": "r1",
        "datasets": ["posts", "stories"],
        "requested_by": "Jörg",
        "parameters": {"stories": {"limit": 500}},
        "formats": ["parquet", "csv"],
    }
