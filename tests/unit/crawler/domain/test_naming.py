"""Names in a message are listed whole, the likeliest first."""

import re

import pytest

from services.crawler.domain.naming import join_errors, list_names

MANY = [f"table_{number:02}" for number in range(96)] + ["late"]


def test_a_few_names_are_all_told() -> None:
    assert list_names(["albums", "posts"], "potss") == "albums, posts"
    assert list_names([], "x") == "none"


def test_of_many_the_likeliest_come_first_and_the_others_are_counted() -> None:
    text = list_names(MANY, "laet")
    assert text.startswith("late, ")
    assert text.endswith(" and 87 more; `onpoint datasets` lists them")
    names = text.split(" and ")[0].split(", ")
    assert len(names) == 10
    assert set(names) <= set(MANY)


def test_without_a_name_to_look_for_the_first_are_listed() -> None:
    assert list_names(MANY).startswith("table_00, table_01, ")


@pytest.mark.parametrize("most", [60, 200, 2000])
def test_errors_that_do_not_fit_are_counted_and_none_is_cut(most: int) -> None:
    errors = [f"error {number} is a sentence" for number in range(50)]
    text = join_errors(errors, most)
    assert len(text) <= most
    whole, _, rest = text.partition("; and ")
    named = whole.split("; ")
    assert named == errors[: len(named)]
    assert (int(re.findall(r"\d+", rest)[0]) if rest else 0) == 50 - len(named)


def test_a_single_error_is_truncated() -> None:
    assert join_errors(["x" * 5000], 100) == "x" * 100
    assert join_errors([], 100) == ""
