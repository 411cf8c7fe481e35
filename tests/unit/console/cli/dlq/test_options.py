import pytest

from console.cli.dlq.options import parse_rate
from console.cli.errors import WrongUseError


@pytest.mark.parametrize(
    ("text", "per_s"), [("50/s", 50), ("50", 50), ("0.5/s", 0.5), ("600/min", 10), ("7200 / h", 2)]
)
def test_a_rate_is_dead_letters_per_second(text: str, per_s: float) -> None:
    assert parse_rate(text) == per_s


@pytest.mark.parametrize("text", ["", "fast", "0", "-1/s", "1/day", "1e9", "NaN", "1/s/s"])
def test_what_is_not_a_rate_is_reported(text: str) -> None:
    with pytest.raises(WrongUseError, match="is not understood: write N/s"):
        parse_rate(text)
