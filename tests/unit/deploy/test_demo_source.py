"""The demo source has the shape of the public APIs, at any size, and always the same content."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from deploy.demo.source import DEFAULT_ROWS, FIRST_STORY_ID, RENDERERS, DemoSource, rows_of
from tests.support.crawler import crawler_of

ROOT = Path(__file__).parents[3]


@contextmanager
def program(*options: str) -> Iterator[str]:
    """The server as a program; its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "deploy.demo.source", *options], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("demo source: ").strip()
        finally:
            process.terminate()
        assert process.wait(10) == 0


def test_the_program_prints_its_address(tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    with program("--rows", "7", "--port-file", str(port_file)) as url:
        assert url == f"http://127.0.0.1:{port_file.read_text().strip()}"


def test_a_wrong_number_of_rows_is_wrong_use() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "deploy.demo.source", "--rows", "-5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert "'-5' is no number of records" in found.stderr


async def test_the_crawler_reads_every_record_of_every_dataset() -> None:
    rows = {**rows_of(1234, everything=False), "photos": 130, "stories": 40}
    runner = web.AppRunner(DemoSource(rows).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        async with crawler_of(
            f"http://127.0.0.1:{port}", allow=f"127.0.0.1:{port}", read_timeout_s=5
        ) as crawler:
            await crawler.run({"datasets": list(rows)})
            for manifest in crawler.batches:
                assert manifest.counts.accepted == manifest.counts.read == rows[manifest.dataset]
                records = await crawler.rows(manifest)
                first = FIRST_STORY_ID + 1 if manifest.dataset == "stories" else 1
                assert [record["id"] for record in records] == list(
                    range(first, first + rows[manifest.dataset])
                )
            assert {manifest.dataset for manifest in crawler.batches} == set(rows)
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("name", sorted(RENDERERS))
def test_a_record_always_reads_the_same_and_differs_from_the_others(name: str) -> None:
    records = [json.loads(RENDERERS[name](n)) for n in range(1, 300)]
    assert records == [json.loads(RENDERERS[name](n)) for n in range(1, 300)]
    assert len({json.dumps(record) for record in records}) == 299


def test_rows_scales_the_posts_or_everything() -> None:
    assert rows_of(7, everything=False) == {**DEFAULT_ROWS, "posts": 7}
    assert set(rows_of(7, everything=True).values()) == {7}


def test_a_million_posts_take_seconds() -> None:
    started = time.process_time()
    size = sum(len(RENDERERS["posts"](n)) for n in range(30_000))
    assert time.process_time() - started < 1.0, "30,000 records a second and core"
    assert 400 < size / 30_000 < 600
