"""The request and the raw line of a record, in a batch's files; refused lines by their key."""

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from console.client.trace.evidence import find_request
from console.client.trace.key import parse_key
from console.client.trace.lines import MAX_LINE_BYTES, line_at, lines_of
from console.client.trace.quarantined import by_key
from tests.unit.console.trace.test_key import ONE, TWO


def packed(folder: Path, data: bytes) -> Path:
    file = folder / "packed"
    file.write_bytes(zstandard.compress(data))
    return file


def log(folder: Path, *entries: dict[str, Any]) -> Path:
    return packed(folder, b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))


def entry(place: int, rows: int, **changes: Any) -> dict[str, Any]:
    return {
        "place": place,
        "rows": rows,
        "url": f"https://x/{place}",
        "status": 200,
        "fetched_at": "t",
    } | changes


@pytest.mark.parametrize(("place", "url"), [(0, 0), (9, 0), (10, 10), (14, 10), (15, 15)])
def test_a_record_is_of_the_request_whose_lines_it_is_among(tmp_path: Path, place: int, url: int) -> None:
    file = log(tmp_path, entry(0, 10), entry(10, 5), entry(15, 0), entry(15, 1, etag='"e"'))
    found = find_request(file, place)
    assert found is not None
    assert found.url == f"https://x/{url}"


@pytest.mark.parametrize("place", [-1, 16])
def test_a_place_of_no_request_has_none(tmp_path: Path, place: int) -> None:
    assert find_request(log(tmp_path, entry(0, 10), entry(10, 6)), place) is None


def test_what_the_answer_told_of_itself_is_kept(tmp_path: Path) -> None:
    file = log(tmp_path, entry(0, 1, etag='"e"', answered_url="https://y", detail="d", status=None))
    found = find_request(file, 0)
    assert found is not None
    assert (found.etag, found.answered_url, found.detail, found.status) == ('"e"', "https://y", "d", None)


def test_a_log_of_rubbish_has_no_request(tmp_path: Path) -> None:
    assert find_request(packed(tmp_path, b'\xff\n[1]\n{"place": "x", "rows": "y"}\n'), 0) is None


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_every_line_is_found_by_its_number(tmp_path: Path, end: bytes) -> None:
    lines = [b"x" * (n % 4_096) + b"%d" % n for n in range(1_500)]
    file = packed(tmp_path, b"\n".join(lines) + end)
    assert [line_at(file, n) for n in (0, 1, 700, 1_499)] == [lines[n] for n in (0, 1, 700, 1_499)]
    assert line_at(file, 1_500) is None
    assert list(lines_of(file)) == lines


def test_a_line_longer_than_a_record_may_be_is_cut(tmp_path: Path) -> None:
    file = packed(tmp_path, b"a\n" + b"x" * (MAX_LINE_BYTES + 5) + b"\nb\n")
    found = line_at(file, 1)
    assert found == b"x" * MAX_LINE_BYTES
    assert line_at(file, 2) == b"b"


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "damaged"
    file.write_bytes(b"no zstandard")
    with pytest.raises(zstandard.ZstdError):
        line_at(file, 0)


@pytest.mark.parametrize(
    "raw", ['{"id": 5}', '{"id": "5"}', '{"id": 5, "more": [1]}', '{"id": 5.0, "id": 5}']
)
def test_a_refused_record_matches_by_the_text_of_its_key(raw: str) -> None:
    assert by_key(ONE, parse_key(ONE, "5"))({"raw": raw})


@pytest.mark.parametrize(
    "line",
    [
        {"raw": '{"id": 6}'},
        {"raw": '{"id": null}'},
        {"raw": "{"},
        {"raw": "[5]"},
        {"raw": '{"id": [5]}'},
        {"raw_base64": "NQ=="},
        {},
    ],
)
def test_any_other_does_not(line: dict[str, Any]) -> None:
    assert not by_key(ONE, parse_key(ONE, "5"))(line)


def test_every_column_of_the_key_has_to_match() -> None:
    matches = by_key(TWO, parse_key(TWO, "id=5,region=eu"))
    assert matches({"raw": '{"id": 5, "region": "eu"}'})
    assert not matches({"raw": '{"id": 5, "region": "us"}'})
