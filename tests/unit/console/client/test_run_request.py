import json
from datetime import UTC, datetime

import pytest

from console.cli.errors import WrongUseError
from console.client.run_request import (
    Order,
    check_run_id,
    choose_datasets,
    new_run_id,
    parse_formats,
    parse_limits,
)
from shared.events.ids import is_run_id

KNOWN = ("comments", "posts", "users")


def test_a_dataset_named_twice_is_asked_for_once_in_the_order_given() -> None:
    assert choose_datasets(["users", "posts", "users"], KNOWN) == ("users", "posts")


def test_an_unknown_dataset_is_refused_with_what_it_may_have_been() -> None:
    with pytest.raises(WrongUseError, match=r"no dataset post; did you mean posts\?"):
        choose_datasets(["post"], KNOWN)
    with pytest.raises(WrongUseError, match="no dataset zzz: there are comments, posts and users"):
        choose_datasets(["zzz"], KNOWN)


def test_formats_come_with_commas_or_one_by_one() -> None:
    assert parse_formats(["csv", "parquet,csv", " csv"]) == ("csv", "parquet")
    assert parse_formats([]) == ()


@pytest.mark.parametrize("text", ["cvs", "", "parquet,", "Parquet", "xlsx"])
def test_an_unknown_format_is_refused(text: str) -> None:
    with pytest.raises(WrongUseError, match="there is no format"):
        parse_formats([text])


def test_limits_are_read_per_dataset() -> None:
    assert parse_limits(["posts=0", "users=1000000000000"], KNOWN) == {"posts": 0, "users": 10**12}


@pytest.mark.parametrize(
    "text",
    [
        "posts",
        "posts=",
        "posts=x",
        "posts=-1",
        "posts=1.5",
        "posts=1_0",
        "posts=²",
        "posts=1000000000001",
        "posts=" + "9" * 5000,
    ],
)
def test_a_limit_that_is_no_number_within_the_contract_is_refused(text: str) -> None:
    with pytest.raises(WrongUseError, match="is not understood: write DATASET=N"):
        parse_limits([text], KNOWN)


def test_a_limit_for_what_is_not_crawled_is_refused_rather_than_forgotten() -> None:
    with pytest.raises(WrongUseError, match="stories is not part of this run"):
        parse_limits(["stories=5"], KNOWN)


def test_two_limits_for_one_dataset_are_refused() -> None:
    with pytest.raises(WrongUseError, match="given twice for posts"):
        parse_limits(["posts=5", "posts=6"], KNOWN)


@pytest.mark.parametrize("run_id", ["", "-x", ".x", "a b", "a/b", "ä", "x" * 129, "a\n"])
def test_an_id_outside_the_contract_is_refused(run_id: str) -> None:
    with pytest.raises(WrongUseError, match="cannot be a run id"):
        check_run_id(run_id)


def test_ids_inside_the_contract_are_taken_as_they_are() -> None:
    assert [check_run_id(run_id) for run_id in ("2026-11-23-daily", "A", "x" * 128)] == [
        "2026-11-23-daily",
        "A",
        "x" * 128,
    ]


def test_an_id_of_our_own_has_the_form_of_the_contract_and_is_never_given_twice() -> None:
    now = datetime(2026, 11, 23, 5, 15, 30, tzinfo=UTC)
    ids = {new_run_id(now) for _ in range(100)}

    assert len(ids) == 100
    assert all(is_run_id(run_id) and run_id.startswith("r-20261123T051530Z-") for run_id in ids)


def test_a_plain_order_says_no_more_than_it_was_told() -> None:
    value = json.loads(Order("r1", ("posts",), "me").value())

    assert value == {"run_id": "r1", "datasets": ["posts"], "requested_by": "me"}


def test_a_full_order_has_the_shape_of_the_contract() -> None:
    order = Order("r1", ("posts", "stories"), "Jörg", formats=("parquet", "csv"), limits={"stories": 500})

    assert json.loads(order.value()) == {
        "run_id": "r1",
        "datasets": ["posts", "stories"],
        "requested_by": "Jörg",
        "parameters": {"stories": {"limit": 500}},
        "formats": ["parquet", "csv"],
    }
