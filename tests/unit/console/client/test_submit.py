"""A run id names one run for ever: it is never taken for another request."""

from datetime import UTC, datetime

import pytest

from console.client.errors import InvalidRequestError
from console.client.ledger import RunRow
from console.client.run_request import RunRequest
from console.client.submit import require_same_run

NOW = datetime(2026, 11, 23, 5, 15, 30, tzinfo=UTC)


def known(datasets: tuple[str, ...] = ("good",), status: str = "running", **changes: object) -> RunRow:
    values: dict[str, object] = {
        "reason": None,
        "requested_by": "me",
        "requested_at": NOW,
        "started_at": NOW,
        "finished_at": None,
    }
    return RunRow("x-good", status, datasets=datasets, **(values | changes))  # type: ignore[arg-type]  # a test's shorthand


def request(*datasets: str, replay_of: str | None = None) -> RunRequest:
    return RunRequest("x-good", datasets, "me", replay_of=replay_of)


@pytest.mark.parametrize("status", ["running", "succeeded"])
def test_the_id_of_a_run_of_other_datasets_is_refused(status: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^run x-good is of good; choose another id$"):
        require_same_run(request("posts"), known(status=status))


@pytest.mark.parametrize("asked", [("good",), ("good", "posts")])
def test_some_of_the_datasets_are_others(asked: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequestError, match="is of good, posts and users"):
        require_same_run(request(*asked), known(("good", "posts", "users")))


def test_the_same_datasets_in_any_order_are_the_same_run() -> None:
    require_same_run(request("posts", "good"), known(("good", "posts")))


def test_a_run_is_not_a_replay_and_a_replay_not_a_run() -> None:
    with pytest.raises(InvalidRequestError, match="x-good is no replay of old; choose another id"):
        require_same_run(request("good", replay_of="old"), known())
    with pytest.raises(InvalidRequestError, match="x-good is a replay of old; choose another id"):
        require_same_run(request("good"), known(replay_of="old"))
    with pytest.raises(InvalidRequestError, match="x-good is a replay of old; choose another id"):
        require_same_run(request("good", replay_of="older"), known(replay_of="old"))
    require_same_run(request("good", replay_of="old"), known(replay_of="old"))


def test_results_that_came_before_their_request_do_not_contradict_it() -> None:
    require_same_run(request("good", "posts"), known(requested_by=None))


def test_a_run_that_was_refused_has_no_datasets_to_compare() -> None:
    require_same_run(request("posts"), known((), "failed"))
