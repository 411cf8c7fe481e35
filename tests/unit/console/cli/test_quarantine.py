"""What `onpoint quarantine` shows beside the rows."""

from datetime import UTC, datetime

import pytest

from console.cli.errors import WrongUseError
from console.cli.quarantine import choose, empty_summary, matching_counts, shown_summary
from console.client.ledger import RunRow


def run(status: str = "succeeded", datasets: tuple[str, ...] = ("posts", "users")) -> RunRow:
    return RunRow("r1", status, None, "me", datetime(2026, 11, 23, tzinfo=UTC), None, None, datasets)


COUNTS = {"posts": {"type": 1200, "fetch": 3}, "users": {"type": 5}}


def test_the_datasets_are_all_of_the_run_or_the_one_that_was_named() -> None:
    assert choose(run(), None) == ("posts", "users")
    assert choose(run(), "users") == ("users",)


@pytest.mark.parametrize(
    ("datasets", "sentence"),
    [
        (("posts", "users"), r"run r1 has no dataset post; did you mean posts\?"),
        (("stories", "albums"), "run r1 has no dataset post: it has stories and albums"),
        ((), "run r1 has no dataset post: it has none"),
    ],
)
def test_a_dataset_that_is_not_of_the_run_is_wrong_use(datasets: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(WrongUseError, match=sentence):
        choose(run(datasets=datasets), "post")


def test_counts_are_of_what_was_asked_for_most_first() -> None:
    assert list(matching_counts(COUNTS, ("posts", "users"), None).items()) == [("type", 1205), ("fetch", 3)]
    assert matching_counts(COUNTS, ("users",), None) == {"type": 5}
    assert matching_counts(COUNTS, ("posts", "users"), "fetch") == {"fetch": 3}


@pytest.mark.parametrize(
    ("shown", "matching", "has_more", "sentence"),
    [
        (
            20,
            {"type": 1205, "fetch": 3},
            True,
            (
                "the first 20 of 1,208 refused rows (1,205 of a wrong type (type), 3 not fetched (fetch)): "
                "--limit N shows more, --json and --csv show all"
            ),
        ),
        (20, {}, True, "the first 20 refused rows: --limit N shows more, --json and --csv show all"),
        (1, {"type": 1}, False, "1 refused row: 1 of a wrong type (type)"),
        (
            8,
            {"type": 5, "fetch": 3},
            False,
            "8 refused rows: 5 of a wrong type (type), 3 not fetched (fetch)",
        ),
        (8, {}, False, "8 refused rows"),
        (8, {"type": 5}, False, "8 refused rows"),
    ],
)
def test_what_was_shown_is_told(
    shown: int, matching: dict[str, int], *, has_more: bool, sentence: str
) -> None:
    assert shown_summary(shown, matching, has_more=has_more) == sentence


@pytest.mark.parametrize(
    ("status", "dataset", "reason", "others", "sentence"),
    [
        ("succeeded", None, None, {}, "run r1 has no refused rows"),
        ("running", None, None, {}, "run r1 has no refused rows so far"),
        ("succeeded", "posts", None, {}, "dataset posts of run r1 has no refused rows"),
        (
            "succeeded",
            None,
            "fetch",
            {"type": 2},
            "run r1 has no row that was refused for fetch: it has 2 of a wrong type (type)",
        ),
        ("succeeded", None, "fetch", {}, "run r1 has no row that was refused for fetch"),
    ],
)
def test_that_there_is_nothing_is_told(
    status: str, dataset: str | None, reason: str | None, others: dict[str, int], sentence: str
) -> None:
    assert empty_summary(run(status), dataset, reason, others) == sentence
