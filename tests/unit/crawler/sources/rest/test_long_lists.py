"""A list of millions of ids: what it costs, and where it is stored."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.crawler.adapters import id_file
from services.crawler.adapters.id_file import write_ids
from services.crawler.domain import plans
from services.crawler.domain.answers import BadBodyError
from services.crawler.domain.plans import CrawlPlan
from shared.storage import keys
from tests.support import source as faults
from tests.support.crawler import Crawler, crawler_of, dataset_of
from tests.support.source import SourceServer

COUNT = 2_500
LISTED = {"kind": "ids", "list_path": "/ids", "item_path": "/item/{id}"}

MOST_BYTES_PER_ID = 120
"""In the process, beside the body. A list of Python texts of 40 characters takes as much on its own."""

MEASURE = """
import resource, sys, tempfile
from pathlib import Path
from services.crawler.adapters.id_file import pieces_of, write_ids

count = int(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    source = Path(folder) / "body"
    with source.open("wb") as target:
        target.write(b"[")
        for n in range(count - 1):
            target.write(b'"%040d",' % n)
        target.write(b'"last"]')
    body = source.read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    listed = write_ids(body, file=Path(folder) / "ids", limit=None)
    assert listed.count == count
    assert sum(len(piece) for piece in pieces_of(listed.batches(1000))) == count // 1000
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / count)
"""


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a list of the test exceeds."""
    monkeypatch.setattr(plans, "IDS_IN_PLAN_BYTES", 1_000)
    monkeypatch.setattr(plans, "BATCH_REQUESTS", 100)
    monkeypatch.setattr(id_file, "PIECE_BYTES", 2_000)


async def crawl(source: SourceServer) -> Crawler:
    datasets = {"things": dataset_of(source.url, LISTED)}
    async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
        await crawler.run({"run_id": "r", "datasets": ["things"]})
        return crawler


@pytest.mark.usefixtures("short")
async def test_a_long_list_is_stored_in_pieces_beside_the_plan_and_crawled_whole() -> None:
    async with SourceServer() as source:
        source.fail("/ids", faults.records(list(range(COUNT))))
        for number in range(COUNT):
            source.fail(f"/item/{number}", faults.body(b'{"id": %d}' % number))
        crawler = await crawl(source)
    found = await crawler.staging.get(keys.plan_key("r", "things"))
    assert found is not None
    plan = CrawlPlan.model_validate_json(found)
    assert plan.ids == ()
    assert len(plan.pieces) > 5
    assert (plan.requests, plan.batches) == (COUNT, COUNT // 100)
    rows = [row["id"] for batch in crawler.batches for row in await crawler.rows(batch)]
    assert rows == list(range(COUNT))
    pieces = [info.key async for info in crawler.staging.list("runs/r/things/plan/")]
    assert len(pieces) == len({piece.sha256 for piece in plan.pieces})


@pytest.mark.usefixtures("short")
async def test_a_batch_whose_piece_is_gone_is_dead_with_a_reason() -> None:
    async with SourceServer() as source:
        source.fail("/ids", faults.records(list(range(COUNT))))
        datasets = {"things": dataset_of(source.url, LISTED)}
        async with crawler_of(source.url, allow=source.allow, datasets=datasets) as crawler:
            [unit] = await crawler.ask({"run_id": "r", "datasets": ["things"]})
            _, first, *_ = await crawler.handle(unit)
            async for info in crawler.staging.list("runs/r/things/plan/"):
                await crawler.staging.delete(info.key)
            [failed] = await crawler.handle(first)
    document = failed.event.model_dump()
    assert (document["status"], document["reason"]) == ("dead", "object_missing")


def test_a_list_costs_a_digest_per_id_in_memory() -> None:
    """Measured in a process of its own: its highest mark before the list is the body's."""
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, "1000000"], capture_output=True, text=True, check=True
    )
    assert float(measured.stdout) < MOST_BYTES_PER_ID


@pytest.mark.parametrize("repeated", [[1, 1, "1", "1", 2], ["a", "\u0061", "b"], [0] * 5000 + [1]], ids=str)
def test_an_id_that_is_listed_twice_is_stored_once(tmp_path: Path, repeated: list[int | str]) -> None:
    listed = write_ids(json.dumps(repeated).encode(), file=tmp_path / "ids", limit=None)
    [batch] = listed.batches(10_000)
    assert json.loads(batch) == list(dict.fromkeys(repeated))


@pytest.mark.parametrize("spoilt", ["null", "1.5", "[1]", "01", '"', "", "1 2"])
@pytest.mark.parametrize("place", [0, 5000, 9999])
def test_what_is_not_an_id_is_found_wherever_it_stands(tmp_path: Path, place: int, spoilt: str) -> None:
    texts = [str(n) for n in range(10_000)]
    texts[place] = spoilt
    with pytest.raises(BadBodyError):
        write_ids(f"[{','.join(texts)}]".encode(), file=tmp_path / "ids", limit=None)


def test_ids_of_every_spelling_come_through(tmp_path: Path) -> None:
    body = ' [ 1 ,\n"a,]\\"b" , "\\\\",-7,"\\u00e9\u00e9\\n","" ]\r\n'.encode()
    listed = write_ids(body, file=tmp_path / "ids", limit=None)
    [batch] = listed.batches(10)
    assert json.loads(batch) == json.loads(body)
