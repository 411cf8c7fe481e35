"""--since, --until, --full and --param, as a request for a run has them."""

import json

import pytest

from console.cli.arguments import parse_params
from console.cli.errors import WrongUseError
from console.client.run_request import RunRequest


def parameters(**more: object) -> object:
    request = RunRequest(run_id="r", datasets=("orders", "shops"), requested_by="ann", **more)  # type: ignore[arg-type]
    return json.loads(request.value()).get("parameters")


def test_bounds_are_of_the_incremental_datasets_alone() -> None:
    found = parameters(since="2026-01-01", until="2026-02-01", incremental=("orders",), limits={"shops": 5})
    assert found == {"orders": {"since": "2026-01-01", "until": "2026-02-01"}, "shops": {"limit": 5}}


def test_everything_again_and_parameters() -> None:
    found = parameters(full=True, incremental=("orders",), params={"shops": {"region": "eu"}})
    assert found == {"orders": {"full": True}, "shops": {"params": {"region": "eu"}}}


def test_a_request_without_any_has_none() -> None:
    assert parameters() is None


def test_parameters_are_named_by_dataset() -> None:
    assert parse_params(["orders.region=eu=west", "orders.kind="], ["orders"]) == {
        "orders": {"region": "eu=west", "kind": ""}
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("orders", "DATASET.NAME=VALUE"),
        ("region=eu", "DATASET.NAME=VALUE"),
        ("ordrs.a=1", "did you mean orders"),
    ],
)
def test_what_is_not_understood_is_said(text: str, why: str) -> None:
    with pytest.raises(WrongUseError, match=why):
        parse_params([text], ["orders"])
