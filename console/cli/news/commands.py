"""`onpoint news`: tries a channel, shows what was sent, and sends again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from console.cli import environment
from console.cli.errors import CommandError, WrongUseError
from console.cli.options import ArrayAsJson
from console.cli.result import print_json
from console.formatting import did_you_mean, listed, moment, one_line, quantity

if TYPE_CHECKING:
    from shared.news.outbox import Outbox, OutboxRow

TIMEOUT_S = 10.0

TEST_EXAMPLES = """\b
Examples:
  onpoint news test data-team

\b
Sends one sample to the channel of this name in ONPOINT_NEWS_FILE, now and
past the outbox, and tells what the channel answered.
Exit codes: 0 it took it; 1 it did not; 2 wrong use.
"""

LIST_EXAMPLES = """\b
Examples:
  onpoint news list
  onpoint news list --state failed
  onpoint news list --channel pager --json | jq '.[].last_error'

\b
pending: to be sent, or tried again at the time shown; sent: the channel took
it; failed: given up, as the channel refused it or a day is over.
"""

RETRY_EXAMPLES = """\b
Examples:
  onpoint news retry 3960ced979bc49b1bd0c4b43f811b031
  onpoint news retry --channel data-team    all that this channel has not got
  onpoint news retry --all

\b
quality sends it within seconds. What was sent is never sent again.
"""

STYLE = {"sent": "green", "pending": "yellow", "failed": "bold red"}

EXAMPLES = """\b
Examples:
  onpoint news test ops        a sample to the channel `ops`
  onpoint news list --channel ops
  onpoint news retry
"""

news = typer.Typer(
    epilog=EXAMPLES,
    help="News of runs, checks and health: to Slack, by e-mail, to webhooks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Channel = Annotated[str | None, typer.Option("--channel", metavar="C", help="Only this channel's.")]


def register(app: typer.Typer) -> None:
    app.add_typer(news, name="news")


@news.command(epilog=TEST_EXAMPLES)
def test(
    channel: Annotated[
        str, typer.Argument(metavar="CHANNEL", help="Its name in the file.", show_default=False)
    ],
) -> None:
    """Send a sample to one channel."""
    from shared.errors import ConfigurationError
    from shared.news.channels.open import open_channel
    from shared.news.config import parse_news_config
    from shared.news.errors import NotSentError
    from shared.news.outbox import Delivery, delivery_id
    from shared.news.settings import NewsSettings
    from shared.settings.model import load_settings

    path = load_settings(NewsSettings, environment.find()).news_file
    if path is None:
        raise WrongUseError("ONPOINT_NEWS_FILE is not set: it names the file of the channels")
    config = parse_news_config(path)
    if channel not in config.channels:
        hint = did_you_mean(channel, config.channels) or f": there are {listed(config.channels) or 'none'}"
        raise WrongUseError(f"{path} has no channel {one_line(channel)}{hint}")
    item = sample(datetime.now(UTC))
    try:
        sender = open_channel(config.channels[channel], config)
        asyncio.run(sender.send(Delivery(item, channel, delivery_id(item.id, channel))))
    except ConfigurationError:
        raise
    except NotSentError as error:
        raise CommandError(f"{channel} did not take it: {one_line(str(error))}") from error
    print(f"{channel} ({config.channels[channel].kind}) took it")


def sample(now: datetime) -> Any:
    """An item that has a bit of all."""
    from shared.events.times import utc_text
    from shared.news.item import DatasetRows, FailedCheck, NewsItem

    check = FailedCheck(
        dataset="example", name="not_null(title)", severity="warn", value="3", expected="max 0"
    )
    return NewsItem(
        id=f"test/{utc_text(now)}",
        kind="test",
        severity="info",
        status="test",
        title="a test of this channel",
        text="It was sent by `onpoint news test`; nothing has happened.",
        happened_at=now,
        datasets=("example",),
        facts={"Status": "test", "Duration": "3 min 5 s"},
        rows=(
            DatasetRows(
                dataset="example", crawled=1040, rejected=0, loaded=1040, stored=1040, loaded_before=1000
            ),
        ),
        checks=(check,),
    )


@news.command("list", epilog=LIST_EXAMPLES)
def list_(
    *,
    state: Annotated[
        Literal["pending", "sent", "failed"] | None, typer.Option("--state", help="Only those in this state.")
    ] = None,
    channel: Channel = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="The newest N.")] = 50,
    as_json: ArrayAsJson = False,
) -> None:
    """Show the outbox, the newest first."""
    rows = asyncio.run(_rows(state, channel, limit))
    if as_json:
        print_json([_document(row) for row in rows])
    elif rows:
        show(rows)
    else:
        print("there is no news" + (" like that" if state or channel else ""))


@news.command(epilog=RETRY_EXAMPLES)
def retry(
    delivery: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="As `onpoint news list` shows it.", show_default=False),
    ] = None,
    *,
    channel: Channel = None,
    all_: Annotated[bool, typer.Option("--all", help="Every channel's.")] = False,
) -> None:
    """Send again what a channel has not got."""
    if (delivery is not None) + (channel is not None) + all_ != 1:
        raise WrongUseError("name one ID, or one --channel, or --all")
    found = asyncio.run(_retry(delivery, channel))
    if not found and delivery is not None:
        raise CommandError(f"there is nothing to send again with the id {one_line(delivery)}")
    print(f"{quantity(found, 'item')} of news to be sent again")


async def _rows(state: str | None, channel: str | None, limit: int) -> "list[OutboxRow]":
    async with _outbox() as outbox:
        return await outbox.rows(state=state, channel=channel, limit=limit)


async def _retry(delivery: str | None, channel: str | None) -> int:
    async with _outbox() as outbox:
        return await outbox.retry(delivery=delivery, channel=channel)


@asynccontextmanager
async def _outbox() -> "AsyncIterator[Outbox]":
    """Raises `CommandError` in an outage."""
    import asyncpg

    from console.client import postgres
    from shared.errors import OnPointError
    from shared.news.outbox import Outbox
    from shared.postgres.refusals import refusal_of

    try:
        async with postgres.pool(environment.ledger_dsn(), timeout_s=TIMEOUT_S) as pool:
            yield Outbox(pool)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        raise CommandError(refusal_of(error) or f"PostgreSQL does not answer: {error}") from error
    except CommandError:
        raise
    except OnPointError as error:
        raise CommandError(str(error)) from error


def _document(row: "OutboxRow") -> dict[str, Any]:
    from shared.events.times import utc_text

    return {
        name: utc_text(value) if isinstance(value, datetime) else value for name, value in asdict(row).items()
    }


def show(rows: "list[OutboxRow]") -> None:
    from rich.table import Table
    from rich.text import Text

    from console.cli import screen

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("when", "channel", "state", "tries", "news", "id"):
        table.add_column(
            heading, no_wrap=heading != "news", justify="right" if heading == "tries" else "left"
        )
    for row in rows:
        table.add_row(
            moment(row.created_at),
            one_line(row.channel),
            Text(row.state, STYLE[row.state]),
            str(row.tries),
            Text(one_line(row.title)),
            row.delivery_id,
        )
    console = screen.stdout()
    console.print(table, highlight=False)
    for row in rows:
        if row.state != "sent" and row.last_error:
            again = "" if row.next_try_at is None else f"; tried again at {moment(row.next_try_at)}"
            console.print(
                Text(f"{row.delivery_id}  {one_line(row.last_error)}{again}", "dim"), highlight=False
            )
