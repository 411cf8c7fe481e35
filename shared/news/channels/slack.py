"""Slack's incoming webhook: a message of blocks. Slack knows no repeats, so a message in doubt says that it may be one."""

from collections.abc import Sequence
from typing import Any

import orjson

from shared.news.channels import http
from shared.news.config import Link, SlackChannel
from shared.news.item import NewsItem, Severity, cut
from shared.news.outbox import Delivery
from shared.news.text import REPEATED, check_line, links_of, rows_table, subject

MAX_HEADER_CHARS = 150
MAX_SECTION_CHARS = 3000
MAX_FIELDS = 10
MAX_FIELD_CHARS = 2000
"""These four are Slack's."""

SIGNS: dict[Severity, str] = {"info": "✅", "warning": "⚠️", "error": "❌"}


class Slack:
    def __init__(self, config: SlackChannel, links: Sequence[Link]) -> None:
        self._config = config
        self._links = links

    async def send(self, delivery: Delivery) -> None:
        content = orjson.dumps(message(delivery, self._links))
        headers = {"Content-Type": "application/json"}
        await http.post(self._config.url.read(), content, headers, allow_private=self._config.allow_private)


def message(delivery: Delivery, links: Sequence[Link]) -> dict[str, Any]:
    """`text` is what a notification on a phone shows, and what a screen reader reads."""
    item = delivery.item
    blocks = [
        {
            "type": "header",
            "text": {
                "type": "plain_text",
                "text": cut(f"{SIGNS[item.severity]} {item.title}", MAX_HEADER_CHARS),
            },
        },
        *(_section(escaped(item.text)) if item.text else ()),
        *_fields(item),
        *(_section(f"```{_fitted(rows_table(item.rows))}```") if item.rows else ()),
        *(
            _section("\n".join(f"• {escaped(check_line(check))}" for check in item.checks))
            if item.checks
            else ()
        ),
        *_links(links_of(item, links)),
    ]
    if delivery.in_doubt:
        blocks.append({"type": "context", "elements": [_text(REPEATED)]})
    return {"text": escaped(subject(item)), "blocks": blocks}


def escaped(text: str) -> str:
    """Slack's own rule: else a text could mention a whole channel, or hide where a link leads."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _fitted(table: str) -> str:
    """Whole lines only, and no end of the fixed-width text inside of it."""
    kept: list[str] = []
    room = MAX_SECTION_CHARS - 100
    for line in escaped(table).replace("```", "'''").splitlines():
        room -= len(line) + 1
        if room < 0:
            kept.append("…")
            break
        kept.append(line)
    return "\n".join(kept)


def _section(text: str) -> list[dict[str, Any]]:
    return [{"type": "section", "text": _text(cut(text, MAX_SECTION_CHARS))}]


def _fields(item: NewsItem) -> list[dict[str, Any]]:
    facts = [
        _text(cut(f"*{escaped(name)}*\n{escaped(value)}", MAX_FIELD_CHARS))
        for name, value in item.facts.items()
    ]
    return [{"type": "section", "fields": facts[:MAX_FIELDS]}] if facts else []


def _links(links: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    shown = " · ".join(f"<{escaped(url).replace('|', '%7C')}|{escaped(label)}>" for label, url in links)
    return [{"type": "context", "elements": [_text(shown)]}] if links else []


def _text(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}
