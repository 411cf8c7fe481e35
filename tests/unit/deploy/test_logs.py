"""Logs are bounded, and read from their ends."""

import os
from itertools import islice
from pathlib import Path

import pytest

from deploy.local import logfiles, logtail
from deploy.local.errors import UnknownNameError
from deploy.local.home import Home
from shared.events.topology import SERVICES


@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_last_lines(tmp_path: Path, count: int) -> None:
    path = tmp_path / "x.log"
    lines = [f"line {number}" for number in range(10)]
    path.write_text("\n".join(lines) + "\n")
    assert logfiles.last_lines(path, count) == lines[len(lines) - min(count, 10) :]


def test_last_lines_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "TAIL_BLOCK_BYTES", 7)
    path = tmp_path / "x.log"
    lines = [f"{'ä' * number}{number}" for number in range(30)]
    path.write_text("\n".join(lines))
    assert logfiles.last_lines(path, 12) == lines[-12:]


def test_only_new_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("of an earlier run\n")
    before = logfiles.size_of(path)
    with path.open("a") as file:
        file.write("new\n")
    assert logfiles.last_lines(path, 5, since=before) == ["new"]
    path.write_text("turned\nover\n")
    assert logfiles.last_lines(path, 5, since=before) == ["turned", "over"]


def test_absent_log_has_no_lines(tmp_path: Path) -> None:
    assert logfiles.last_lines(tmp_path / "x.log", 5) == []


def test_large_log_turns_over_under_its_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "MAX_LOG_BYTES", 100)
    path = tmp_path / "x.log"
    writer = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(writer, b"old\n" * 50)
        logfiles.bound(tmp_path)
        os.write(writer, b"new\n")
    finally:
        os.close(writer)
    assert path.read_text() == "new\n"
    assert (tmp_path / "x.log.1").read_text() == "old\n" * 50
    logfiles.bound(tmp_path)
    assert path.read_text() == "new\n"


def test_unknown_log_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"no log 'lodaer': choose one of .*loader") as raised:
        logtail.choose(Home(tmp_path), "lodaer")
    assert all(name in str(raised.value) for name in SERVICES)


def test_several_logs_are_told_apart(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    home.log_file("kafka").write_text("a\n")
    home.log_file("supervisor").write_text("b\n")
    assert list(logtail.tail(logtail.choose(home, None), lines=5, follow=False)) == [
        "kafka      | a",
        "supervisor | b",
    ]


def test_following_goes_on_after_a_turnover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kafka.log"
    path.write_text("one\ntwo\n")
    written = iter(["one\ntwo\nthr", "one\ntwo\nthree\n", "", "four\n"])
    monkeypatch.setattr("time.sleep", lambda _: path.write_text(next(written)))
    lines = logtail.tail({"kafka": path}, lines=1, follow=True)
    assert list(islice(lines, 3)) == ["two", "three", "four"]
