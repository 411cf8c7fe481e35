import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from console.cli.replay import STAGES
from console.client.errors import ClientError, InvalidRequestError
from console.client.ledger import RunRow, StageProgress
from console.client.replay import choose_datasets, require_stored
from console.client.run_request import RunRequest
from shared.events.topology import Stage

ASKED = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


def run(status: str = "succeeded", datasets: tuple[str, ...] = ("posts", "users")) -> RunRow:
    return RunRow("old", status, "the source is down", "me", ASKED, ASKED, None, datasets)


def test_a_replay_takes_all_datasets_of_the_run_or_those_that_are_named() -> None:
    assert choose_datasets(run(), []) == ("posts", "users")
    assert choose_datasets(run("failed"), ["users", "users"]) == ("users",)


def test_what_cannot_be_replayed_is_told() -> None:
    with pytest.raises(ClientError, match="run old goes on: it can be replayed when it is over"):
        choose_datasets(run("running"), [])
    with pytest.raises(ClientError, match="run old has nothing to replay: the source is down"):
        choose_datasets(run("failed", ()), [])
    with pytest.raises(InvalidRequestError, match=r"run old has no dataset post; did you mean posts\?"):
        choose_datasets(run(), ["post"])


def stored(stage: Stage, dataset: str = "posts", batches: int = 1) -> StageProgress:
    return StageProgress(dataset, stage, 2, None, batches, 2 - batches, 10)


@pytest.mark.parametrize(
    ("from_stage", "parent"),
    [
        ("processor", "crawler"),
        ("converter", "processor"),
        ("loader", "processor"),
        ("s3sink", "processor"),
    ],
)
def test_a_stage_that_nothing_was_stored_for_cannot_be_replayed(from_stage: str, parent: Stage) -> None:
    require_stored(run(), [stored(parent)], ["posts"], from_stage)
    for progress in ([], [stored(parent, batches=0)], [stored(parent, "users")]):
        with pytest.raises(
            ClientError, match=f"^run old stored nothing to replay from the {from_stage}: run it again$"
        ):
            require_stored(run(), progress, ["posts"], from_stage)


def test_what_a_replay_copied_is_in_the_run_before_it() -> None:
    require_stored(replace(run(), replay_of="older"), [], ["posts"], "loader")


@pytest.mark.parametrize("stage", STAGES)
def test_the_request_is_the_one_of_the_contract(stage: str) -> None:
    request = RunRequest("new", ("posts",), "me", replay_of="old", from_stage=stage)

    assert json.loads(request.value()) == {
        "run_id": "new",
        "datasets": ["posts"],
        "requested_by": "me",
        "replay_of": "old",
        "from_stage": stage,
    }
