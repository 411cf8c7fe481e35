import json

import pytest
import zstandard

from console.cli.dlq import document
from console.cli.result import print_json
from console.client.dead_letters.artifact import preview
from shared.storage.object_store import open_memory
from tests.unit.console.client.dead_letters.test_artifact import manifest, parquet, stored


def refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


async def test_rows_are_json_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    staging = open_memory()
    lines = b'{"a":NaN,"b":1}\n{"b":1e400}\n' + b"[" * 5000 + b"\n" + b"[" * 500 + b"]" * 500
    raw = await stored(staging, zstandard.compress(lines), "jsonl.zst")
    clean = await stored(staging, parquet([{"x": float("nan"), "y": float("-inf"), "z": 1.5}]), "parquet")
    print_json(document.data(await preview(staging, manifest(raw, clean), 4)))

    raws, cleans = json.loads(capsys.readouterr().out, parse_constant=refuse)["data"]
    assert raws["rows"] == ['{"a":NaN,"b":1}', {"b": "1e400"}, "[" * 5000, "[" * 500 + "]" * 500]
    assert cleans["rows"] == [{"x": "NaN", "y": "-Infinity", "z": 1.5}]
