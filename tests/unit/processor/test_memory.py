"""What a batch costs in memory: little of small rows, a few of the widest ones, and no more for more of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.environment import ALLOCATORS

pytestmark = pytest.mark.long

MEASURE = """
import asyncio, json, os, random, resource, sys
from datetime import UTC, datetime
from pathlib import Path
import zstandard
from services.processor.adapters.allocator import use_one_allocator
from services.processor.work import work_on
from shared.events.models import BatchManifest, Counts
from shared.stages.artifacts import Artifacts
from shared.storage.object_store import open_folder
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Limits, Sandbox
from tests.support.crawled import REQUESTED_AT, a_dataset

given = json.loads(sys.argv[1])
columns = [{"name": "id", "type": "int64"}, {"name": "v", "type": given["type"]}]
dataset = a_dataset(columns, ["id"], transform=given["steps"])
folder = Path(sys.argv[2])
store = open_folder(folder / "staging")
chance = random.Random(1)

def line(number, text_bytes):
    text = chance.randbytes(max(1, text_bytes // 2)).hex()
    value = {"json": {"k": [text, number]}, "list<string>": [text[n:n + 100] for n in range(0, len(text), 100)]}
    return json.dumps({"id": number, "v": value.get(given["type"], text)}).encode() + b"\\n"

async def put(rows, text_bytes):
    file = folder / "raw"
    with file.open("wb") as sink, zstandard.ZstdCompressor().stream_writer(sink) as packed:
        for number in range(rows):
            packed.write(line(number, text_bytes))
    raw = await Artifacts(store, "crawler").put("r", "things", file, extension="jsonl.zst", rows=rows)
    return BatchManifest(
        run_id="r", dataset="things", batch_id="0" * 32, sequence=0, stage="crawler", artifacts=(raw,),
        requested_at=REQUESTED_AT, counts=Counts(read=rows), produced_at=datetime.now(UTC), code_version="1",
    )

def peak_mib(who):
    return resource.getrusage(who).ru_maxrss // 1024

async def main():
    use_one_allocator()
    with Sandbox() as sandbox:
        transformer = Transformer(Limits(), None, sandbox)
        artifacts = Artifacts(store, "processor")
        await work_on(artifacts, transformer, await put(100, 10), dataset)
        before = peak_mib(resource.RUSAGE_SELF)
        batch = await put(given["rows"], given["text_bytes"])
        done = await work_on(artifacts, transformer, batch, dataset)
    own = peak_mib(resource.RUSAGE_SELF) - before
    found = {"accepted": done.cleaned.counts.accepted, "own": own, "child": peak_mib(resource.RUSAGE_CHILDREN)}
    print(json.dumps(found), file=sys.stderr)

asyncio.run(main())
"""

SMALL = {"rows": 100_000, "text_bytes": 10}
WIDE = {"rows": 16, "text_bytes": 10 * 2**20}
ALLOWED_MIB = {10: 96, 10 * 2**20: 384}
"""By the bytes of a row's text. Of the widest rows there are a line, its chunk, what it is parsed into, a row group and its
encoded pages in memory: a quarter of what a machine of 2 GB has.
"""
CHILD_MIB = 1024
"""Of the process that runs a step: what it may use."""


def measured(folder: Path, **given: object) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps({"type": "string", "steps": [], **given}), str(folder)],
        env=ALLOCATORS | os.environ,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, int] = json.loads(done.stderr.splitlines()[-1])
    return found


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["10 bytes", "10 MB"])
@pytest.mark.parametrize("kind", ["string", "json", "list<string>"])
def test_a_batch_of_rows_of_any_width_needs_little_memory(
    tmp_path: Path, kind: str, size: dict[str, int]
) -> None:
    found = measured(tmp_path, type=kind, **size)
    assert found["accepted"] == size["rows"]
    assert found["own"] < ALLOWED_MIB[size["text_bytes"]]


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["10 bytes", "10 MB"])
@pytest.mark.parametrize(
    "step",
    [{"sql": "SELECT *, upper(v) AS v FROM batch"}, {"mask": {"v": "truncate(9)"}}],
    ids=["sql", "mask"],
)
def test_a_transform_of_rows_of_any_width_needs_little_memory(
    tmp_path: Path, step: dict[str, object], size: dict[str, int]
) -> None:
    found = measured(tmp_path, steps=[step], **size)
    assert found["accepted"] == size["rows"]
    assert found["own"] < ALLOWED_MIB[size["text_bytes"]]
    assert found["child"] < CHILD_MIB
