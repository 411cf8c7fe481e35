import json
from datetime import UTC, datetime

import pytest

from console.errors import CommandError, WrongUseError
from console.ledger import RunRow
from console.order import Order
from console.replay import STAGES, choose

ASKED = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


def run(status: str = "succeeded", datasets: tuple[str, ...] = ("posts", "users")) -> RunRow:
    return RunRow("old", status, "the source is down", "me", ASKED, ASKED, None, datasets)


def test_a_replay_takes_all_datasets_of_the_run_or_those_that_are_named() -> None:
    assert choose(run(), []) == ("posts", "users")
    assert choose(run("failed"), ["users", "users"]) == ("users",)


def test_what_cannot_be_replayed_is_told() -> None:
    with pytest.raises(CommandError, match="run old goes on: it can be replayed when it is over"):
        choose(run("running"), [])
    with pytest.raises(CommandError, match="run old has nothing to replay: the source is down"):
        choose(run("failed", ()), [])
    with pytest.raises(WrongUseError, match=r"run old has no dataset post; did you mean posts\?"):
        choose(run(), ["post"])


@pytest.mark.parametrize("stage", STAGES)
def test_the_request_is_the_one_of_the_contract(stage: str) -> None:
    order = Order("new", ("posts",), "me", replay_of="old", from_stage=stage)

    assert json.loads(order.value()) == {
        "run_id": "new",
        "datasets": ["posts"],
        "requested_by": "me",
        "replay_of": "old",
        "from_stage": stage,
    }
