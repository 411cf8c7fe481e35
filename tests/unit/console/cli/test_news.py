"""`onpoint news` as people and programs use it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.cli.errors import CommandError, WrongUseError
from console.cli.news.commands import retry, show
from console.cli.news.commands import test as try_channel
from shared.news.outbox import OutboxRow
from tests.support.news_receivers import web_receiver

AT = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "news.yaml"
    monkeypatch.setenv("ONPOINT_NEWS_FILE", str(path))
    monkeypatch.setenv("ONPOINT_POSTGRES_DSN", "postgresql://nowhere/x")
    return path


TWO_CHANNELS = """
channels:
  team: {kind: slack, url: {env: TEAM_URL}, allow_private: true}
  other: {kind: slack, url: {env: NOT_THERE}}
"""


async def test_a_sample_goes_to_the_channel_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with web_receiver() as receiver:
        monkeypatch.setenv("TEAM_URL", receiver.url)
        await asyncio.to_thread(file.write_text, TWO_CHANNELS)
        await asyncio.to_thread(try_channel, "team")
    assert len(receiver.received) == 1
    assert capsys.readouterr().out == "team (slack) took it\n"


def test_a_channel_that_does_not_take_it_says_why(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_URL", "http://127.0.0.1:1/s3cret")
    file.write_text("channels: {team: {kind: slack, url: {env: TEAM_URL}}}")
    with pytest.raises(
        CommandError, match=r"team did not take it: 127\.0\.0\.1 is a private address"
    ) as caught:
        try_channel("team")
    assert "s3cret" not in str(caught.value)


def test_a_name_that_is_wrong_is_helped(file: Path) -> None:
    file.write_text("channels: {team: {kind: slack, url: {env: TEAM_URL}}}")
    with pytest.raises(WrongUseError, match="has no channel tem; did you mean team"):
        try_channel("tem")


def test_without_a_file_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONPOINT_NEWS_FILE", raising=False)
    monkeypatch.setenv("ONPOINT_POSTGRES_DSN", "postgresql://nowhere/x")
    with pytest.raises(WrongUseError, match="ONPOINT_NEWS_FILE is not set"):
        try_channel("team")


@pytest.mark.parametrize(
    ("delivery", "channel", "all_"), [(None, None, False), ("a", "b", False), ("a", None, True)]
)
def test_a_retry_names_one_thing(delivery: str | None, channel: str | None, all_: bool) -> None:
    with pytest.raises(WrongUseError, match="name one ID, or one --channel, or --all"):
        retry(delivery, channel=channel, all_=all_)


def test_the_outbox_shows_each_delivery_and_why_it_was_not_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    row = OutboxRow(
        item_id="run_completed/a",
        channel="team",
        delivery_id="0a" * 16,
        kind="run_completed",
        title="run a \x1b[2J failed",
        severity="error",
        state="pending",
        tries=3,
        in_doubt=False,
        last_error="the server answered 500",
        created_at=AT,
        sent_at=None,
        next_try_at=AT,
    )
    show([row])
    out = capsys.readouterr().out
    assert "run a \\x1b[2J failed" in out
    assert f"{'0a' * 16}  the server answered 500; tried again at 2026-11-29 08:00:00 UTC" in out
