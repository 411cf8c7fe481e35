import io

import pytest
from rich.console import Console

from console.cli.display import Lines, Nothing, choose
from console.client.ledger import StageProgress
from console.client.progress import Snapshot, by_key


def snapshot(at_s: float, done: int) -> Snapshot:
    stages = by_key([StageProgress("posts", "crawler", 10, None, done, 0, done * 100)])
    return Snapshot("r1", "running", at_s, ("posts",), stages)


def test_a_log_gets_a_line_only_when_something_changed_and_not_more_often_than_every_few_seconds() -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out, width=40))
    for at_s, done in [(0.0, 1), (1.0, 2), (6.0, 3), (12.0, 3), (18.0, 4)]:
        lines.show(snapshot(at_s, done))

    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "0.0 s  posts: crawl 1/10 batches; 100 rows crawled",
        "6.0 s  posts: crawl 3/10 batches; 300 rows crawled",
        "18 s  posts: crawl 4/10 batches; 400 rows crawled",
    ]


def test_a_log_gets_what_the_run_waits_for_once() -> None:
    out = io.StringIO()
    lines = Lines(Console(file=out, width=40))
    for at_s in (0.0, 6.0):
        lines.show(Snapshot("r1", "asked", at_s, ("posts",), phase="asked, waiting for the crawler"))

    assert out.getvalue().strip().endswith("0.0 s  asked, waiting for the crawler")


def test_a_program_that_reads_json_gets_no_progress_on_stderr() -> None:
    assert isinstance(choose(Console(file=io.StringIO()), as_json=True), Nothing)
    assert isinstance(choose(Console(file=io.StringIO()), as_json=False), Lines)


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    assert isinstance(choose(Console(force_terminal=True, file=io.StringIO()), as_json=False), Lines)
