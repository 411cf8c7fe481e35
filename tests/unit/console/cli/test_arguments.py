import pytest

from console.cli.arguments import choose_datasets, parse_formats, parse_limits
from console.cli.errors import WrongUseError

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


@pytest.mark.parametrize("text", ["cvs", "", "parquet,", "Parquet", "docx"])
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
def test_a_limit_that_is_not_a_number_within_the_contract_is_refused(text: str) -> None:
    with pytest.raises(WrongUseError, match="is not understood: write DATASET=N"):
        parse_limits([text], KNOWN)


def test_a_limit_for_what_is_not_crawled_is_refused_rather_than_forgotten() -> None:
    with pytest.raises(WrongUseError, match="stories is not part of this run"):
        parse_limits(["stories=5"], KNOWN)


def test_two_limits_for_one_dataset_are_refused() -> None:
    with pytest.raises(WrongUseError, match="given twice for posts"):
        parse_limits(["posts=5", "posts=6"], KNOWN)
