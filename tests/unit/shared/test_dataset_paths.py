"""How a dataset file names a key inside a record."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.datasets.paths import MAX_KEY_CHARS, MAX_KEYS, format_path, parse_path

KEYS = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("name", ["name"]),
        ("address.geo.lat", ["address", "geo", "lat"]),
        (r"user\.name", ["user.name"]),
        (r"@odata\.etag", ["@odata.etag"]),
        ('"@odata.etag"', ["@odata.etag"]),
        ("Full Name", ["Full Name"]),
        ("Full Name.First Name", ["Full Name", "First Name"]),
        ('"Full Name"', ["Full Name"]),
        ('" ends "', [" ends "]),
        ('"a.b"."c d"', ["a.b", "c d"]),
        (r'"see \"hi\""', ['see "hi"']),
        (r"see \"hi\"", ['see "hi"']),
        (r"back\\slash", ["back\\slash"]),
        (r'"back\\slash"', ["back\\slash"]),
        (r"a\\.b", ["a\\", "b"]),
        ('""', [""]),
        ('a."".b', ["a", "", "b"]),
        ("größe.名前", ["größe", "名前"]),
        ("$ref", ["$ref"]),
        ("a[0]", ["a[0]"]),
        ("404", ["404"]),
    ],
)
def test_a_path_names_its_keys(text: str, keys: list[str]) -> None:
    assert parse_path(text) == tuple(keys)


@given(st.lists(KEYS, min_size=1, max_size=MAX_KEYS))
def test_every_key_can_be_named(keys: list[str]) -> None:
    assert parse_path(format_path(tuple(keys))) == tuple(keys)


@given(st.text(max_size=40))
def test_whatever_is_read_can_be_written_again(text: str) -> None:
    with contextlib.suppress(ValueError):
        keys = parse_path(text)
        assert parse_path(format_path(keys)) == keys


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the key that is empty"),
        (".", "before or after a dot"),
        ("a..b", "before or after a dot"),
        ("a.", "before or after a dot"),
        (" a", "double quotes"),
        ("a. b", "double quotes"),
        ('"a', "not closed"),
        ('"a"b', "a dot or the end"),
        ('a"b', "whole key in double quotes"),
        ("a\\", "a backslash at the end"),
        (r"a\n", "means nothing"),
        ("a\tb", "control character"),
        ('"a\x00"', "control character"),
        ('"\ud800"', "control character"),
        ("x" * (MAX_KEY_CHARS + 1), "characters"),
        (".".join("x" * (MAX_KEYS + 1)), "keys one inside the other"),
    ],
)
def test_what_names_no_key_is_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_path(text)
