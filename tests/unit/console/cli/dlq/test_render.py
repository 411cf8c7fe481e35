import json
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from console.cli.dlq.render import cause_first, pretty, render_entry, render_list, summarised
from console.cli.screen import PIPED
from console.client.dead_letters.preview import Preview
from console.client.dead_letters.queue import Action, Entry
from shared.bus.messages import Record
from shared.events.models import Artifact
from tests.unit.console.client.dead_letters.examples import action, dead_letter

HOSTILE = "\x1b]0;pwned\x07[bold red]x[/bold red] \u202eevil \x9b31m :smile: \n second"
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
ARTIFACT = Artifact(
    uri="s3://staging/runs/r1/a.parquet", format="parquet", rows=2, bytes=1234, sha256="0" * 64
)


def shown(what: RenderableType, width: int = 80) -> str:
    console = Console(width=width, color_system=None, emoji=True, markup=True)
    with console.capture() as capture:
        console.print(what, crop=False)
    return capture.get()


def entry(offset: int = 1, state: str = "open", last: Action | None = None, **changes: object) -> Entry:
    return Entry(dead_letter(offset, **changes), state, 1, last)  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("with_state", [True, False])
def test_a_list_keeps_to_the_screen_and_its_names_are_whole(width: int, with_state: bool) -> None:
    entries = [
        entry(123_456_789, reason="object_missing", run_id="r-20261124T060000Z-1a2b3c4d", message="x" * 300),
        entry(2, message="日本" * 100, run_id="x" * 128),
        entry(3, run_id="", message=""),
    ]
    text = shown(render_list(entries, width=width, with_state=with_state), width)

    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "loader:0:123456789" in text
    assert ("open" in text) is with_state
    assert len(text.splitlines()) == (4 if width >= 110 else 7)


def test_nothing_of_a_record_is_markup_or_an_order_to_the_terminal() -> None:
    hostile = entry(message=HOSTILE, run_id=HOSTILE, reason=HOSTILE, exception=HOSTILE, batch_id=HOSTILE)
    record = Record(
        "loader.dlq",
        0,
        1,
        0,
        b"k",
        json.dumps({"a": HOSTILE}, ensure_ascii=False).encode(),
        ((HOSTILE, HOSTILE.encode()), ("raw", b"\xff\x1b[31m"), ("null", None)),
    )
    found = Preview(ARTIFACT, ({HOSTILE: HOSTILE, "n": None}, HOSTILE))
    text = shown(render_entry(hostile, record, [found], with_headers=True)) + shown(
        render_list([hostile], width=80, with_state=True)
    )

    assert OBEYED.search(text) is None
    assert "[bold red]x[/bold red]" in text
    assert ":smile:" in text
    assert "\\x1b]0;pwned" in text
    assert "\\xff\\x1b[31m" in text


def test_one_entry_tells_everything_and_what_to_do_next() -> None:
    one = replace(entry(last=action(dead_letter(0))), deaths=2)
    record = Record("loader.dlq", 0, 1, 0, b"k", b'{"run_id":"r1"}', (("dlq.tries", b"1"),))
    found = Preview(ARTIFACT, ({"id": 1, "title": "a"},))
    text = shown(render_entry(one, record, [found]))

    assert text.startswith("loader:0:1  open\nit is not there\n")
    for words in (
        "batch.processed-0 offset 1",
        "1 time, first at 2026-11-24 06:00:00 UTC",
        "2 letters in all",
        "by me, 2026-11-24 06:00:00 UTC, before it died again",
        '  "run_id": "r1"',
        "data  2 rows, 1.2 kB, parquet",
        "onpoint dlq replay loader:0:1",
        "onpoint dlq discard loader:0:1 --reason",
    ):
        assert words in text


def test_no_replay_is_suggested_for_what_cannot_be_replayed() -> None:
    lost = replace(entry(), dead_letter=replace(dead_letter(1), original=None))
    for cannot in (entry(is_truncated=True), lost):
        assert "onpoint dlq replay" not in shown(render_entry(cannot, None, []))


def test_data_that_cannot_be_shown_is_replaced_by_the_reason() -> None:
    text = shown(render_entry(entry(), None, [Preview(ARTIFACT, problem=f"{ARTIFACT.uri} is not there")]))

    assert "its rows cannot be shown: the object is not there" in text
    assert "its record is no longer kept by Kafka" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (b"", ""),
        (b"{", "{"),
        (b'{"a":[1]}', '{\n  "a": [\n    1\n  ]\n}'),
        (b"[" * 100_000, "[" * 100_000),
        (b'"\\ud800"', '"\\ud800"'),
        (b"\xff", "\\xff"),
    ],
    ids=["none", "empty", "cut", "json", "deep", "surrogate", "bytes"],
)
def test_a_value_is_json_where_it_can_be_and_text_otherwise(value: bytes | None, text: str) -> None:
    assert pretty(value) == text


def test_a_long_value_is_cut_with_a_note() -> None:
    record = Record("t", 0, 0, 0, None, json.dumps(list(range(1000))).encode())

    assert "and 802 lines more: --json has them all" in shown(render_entry(entry(), record, []))


COUNTS = {"open": 12, "replayed": 3, "resolved": 0, "discarded": 1}


@pytest.mark.parametrize(
    ("shown_", "state", "sentence"),
    [
        (12, "open", "12 open dead letters (3 replayed, 1 discarded: --state all shows them)"),
        (5, "open", "the latest 5 of 12 open dead letters: --limit shows more (3 replayed, 1 discarded"),
        (0, "resolved", "there are no resolved dead letters (12 open, 3 replayed, 1 discarded"),
        (16, None, "16 dead letters"),
    ],
)
def test_the_last_line_counts_what_the_list_does_not_show(
    shown_: int, state: str | None, sentence: str
) -> None:
    assert summarised(shown_, COUNTS, state).startswith(sentence)  # type: ignore[arg-type]  # a test's shorthand


def test_an_empty_queue_is_one_sentence() -> None:
    nothing = dict.fromkeys(COUNTS, 0)
    assert summarised(0, nothing, "open") == "there are no open dead letters"  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("message", "shown_"),
    [
        (
            "every request failed (1); the last: GET /x answered 500",
            "GET /x answered 500 (every request failed, 1 in all)",
        ),
        ("there is no plan: the source is away", "the source is away (so nothing was planned)"),
        (
            "dead in run old at the crawler: every request failed (3); the last: timeout",
            "timeout (every request failed, 3 in all) (its batch failed in run old at the crawler)",
        ),
        ("it is not there", "it is not there"),
        ("there is no plan: ", "there is no plan: "),
    ],
)
def test_the_cause_comes_first(message: str, shown_: str) -> None:
    assert cause_first(message) == shown_


def test_a_wide_list_names_the_dataset_and_a_pipe_cuts_nothing() -> None:
    one = entry(dataset="posts", run_id="x" * 128, message="y" * 1500)

    assert "posts" in shown(render_list([one], width=120, with_state=False), 120)
    assert "posts" not in shown(render_list([one], width=80, with_state=False), 80)
    piped = shown(render_list([one], width=PIPED, with_state=False), PIPED)
    assert "x" * 128 in piped
    assert "y" * 1500 in piped


def test_headers_are_folded_and_the_address_is_a_line_of_its_own() -> None:
    record = Record("crawler.dlq", 0, 1, 0, b"k", b"{}", (("dlq.tries", b"1"), ("trace", b"t1")))
    one = entry(message="GET https://example.org/x?page=2: 500", dataset="posts")
    folded = shown(render_entry(one, record, []))

    assert "URL        https://example.org/x?page=2\n" in folded
    assert "dataset    posts\n" in folded
    assert "headers  2: --headers shows them" in folded
    assert "t1" not in folded
    assert "t1" in shown(render_entry(one, record, [], with_headers=True))
    assert "mend the cause first" in folded
