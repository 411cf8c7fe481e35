"""Texts are numbers of JSON where its grammar says so, and have the value that Python reads in them."""

import json
import re

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from services.processor.domain.number_tokens import Bytes, Places, all_numbers, short_wholes
from tests.support.json_tokens import NUMBERS

JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
LIKE_NUMBERS = st.text("0123456789.-+eE", min_size=1, max_size=30) | NUMBERS


def placed(texts: list[str]) -> tuple[Bytes, Places, Places]:
    """The texts behind each other, as values of lines."""
    data, starts, ends = b'{"name": ', [], []
    for text in texts:
        starts.append(len(data))
        data += text.encode()
        ends.append(len(data))
        data += b', "b": '
    return Bytes(data), np.array(starts), np.array(ends)


@given(st.lists(LIKE_NUMBERS, min_size=1, max_size=4))
@example(["0" * 30])
@example(["1" * 24 + ".5"])
@example(["-"])
def test_numbers_are_those_of_json(texts: list[str]) -> None:
    assert all_numbers(*placed(texts), are_whole=False) == all(map(JSON_NUMBER.fullmatch, texts))


@given(st.lists(st.integers(-(10**30), 10**30).map(str) | LIKE_NUMBERS, min_size=1, max_size=4))
def test_whole_numbers_are_digits_alone(texts: list[str]) -> None:
    expected = all(re.fullmatch("-?(0|[1-9][0-9]{0,22})", text) for text in texts)
    if expected or not all(len(text) > 20 for text in texts):
        assert all_numbers(*placed(texts), are_whole=True) == expected


@given(st.lists(st.integers(0, 10**8 - 1), min_size=1, max_size=9))
def test_short_whole_numbers_have_their_values(numbers: list[int]) -> None:
    found = short_wholes(*placed([json.dumps(number) for number in numbers]))
    assert found is not None
    assert found.tolist() == numbers


@given(st.lists(LIKE_NUMBERS, min_size=1, max_size=3))
@example(["01"])
@example(["123456789"])
def test_of_other_texts_there_are_no_short_whole_numbers(texts: list[str]) -> None:
    are_short = all(re.fullmatch("0|[1-9][0-9]{0,7}", text) for text in texts)
    assert (short_wholes(*placed(texts)) is not None) == are_short
