from datetime import UTC, datetime, timedelta, timezone

import pytest

from console import formatting


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7_620, "2 h 07 min"),
        (100_000, "1 d 03 h"),
    ],
)
def test_a_duration_is_as_exact_as_it_matters(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (312_345_678, "312.3 MB"), (5 * 10**18, "5,000.0 PB")],
)
def test_a_size_has_decimal_units(size: int, text: str) -> None:
    assert formatting.size(size) == text


def test_numbers_have_thousands_separators_and_nouns_their_plural() -> None:
    assert formatting.number(1_234_567) == "1,234,567"
    assert formatting.quantity(1, "row") == "1 row"
    assert formatting.quantity(2_000, "batch") == "2,000 batches"


def test_a_time_is_shown_in_utc_whatever_its_zone() -> None:
    berlin = datetime(2026, 11, 23, 6, 15, 30, tzinfo=timezone(timedelta(hours=1)))

    assert formatting.moment(berlin) == "2026-11-23 05:15:30 UTC"
    assert formatting.moment(berlin.astimezone(UTC)) == "2026-11-23 05:15:30 UTC"


def test_names_are_listed_with_commas_and_and() -> None:
    assert [formatting.listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


def test_a_mistyped_name_is_answered_with_what_it_may_have_been() -> None:
    assert formatting.did_you_mean("comment", ["posts", "comments"]) == "; did you mean comments?"
    assert formatting.did_you_mean("xyz", ["posts", "comments"]) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünï, 日本\t\n", "plain, ünï, 日本\t\n"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\r\x08\x00\x7f\x9b", "\\x0d\\x08\\x00\\x7f\\x9b"),
        ("a\u202eb\u2066c\u2028", "a\\u202eb\\u2066c\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_spelt_out(text: str, shown: str) -> None:
    assert formatting.printable(text) == shown
    shown.encode()


def test_one_line_is_one_line() -> None:
    assert formatting.one_line(" a\n\tb \x1b ") == "a b \\x1b"
