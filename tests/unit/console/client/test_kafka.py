from dataclasses import dataclass
from typing import Any

import pytest

from console.client.kafka import CompletionConsumer
from console.client.untrusted_json import parse_object


@dataclass
class FakeRecord:
    value: bytes | None


class Topic:
    def __init__(self, *values: bytes | None) -> None:
        self._values = list(values)

    async def getone(self) -> FakeRecord:
        return FakeRecord(self._values.pop(0))


GARBAGE = (
    None,
    b"",
    b"{",
    b"[]",
    b"7",
    b"\xff",
    b"[" * 100_000,
    b'{"run_id":' * 50_000,
    b'{"run_id":"r1","a":NaN}',
)


async def test_records_of_other_runs_and_garbage_do_not_end_a_wait() -> None:
    nested = b'{"run_id":"r1","a":' + b"[" * 500 + b"]" * 500 + b"}"
    topic: Any = Topic(*GARBAGE, nested, b'{"run_id":"r2"}', b'{"run_id":"r1","status":"succeeded"}')

    assert await CompletionConsumer(topic).of("r1") == {"run_id": "r1", "status": "succeeded"}


@pytest.mark.parametrize("value", GARBAGE[:8], ids=range(8))
def test_what_is_not_an_object_is_an_empty_one(value: bytes | None) -> None:
    assert parse_object(value) == {}
