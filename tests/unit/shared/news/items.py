"""An item with all there can be."""

from datetime import UTC, datetime

from shared.news.item import DatasetRows, FailedCheck, NewsItem
from shared.news.outbox import Delivery, delivery_id

HAPPENED_AT = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)

RUN_ENDED = NewsItem(
    id="run_completed/nightly",
    kind="run_completed",
    severity="warning",
    status="partial",
    title="run nightly partial",
    text="1 batch of posts is dead",
    happened_at=HAPPENED_AT,
    run_id="nightly",
    datasets=("posts", "users"),
    facts={"Status": "partial", "Duration": "3 min 5 s"},
    rows=(
        DatasetRows(dataset="posts", crawled=1040, rejected=0, loaded=1040, stored=1040, loaded_before=1000),
        DatasetRows(dataset="users", crawled=10, rejected=1, loaded=9, stored=9),
    ),
    checks=(
        FailedCheck(dataset="posts", name="not_null(title)", severity="warn", value="3", expected="max 0"),
    ),
)


def delivery_of(item: NewsItem, channel: str = "team", *, in_doubt: bool = False) -> Delivery:
    return Delivery(item, channel, delivery_id(item.id, channel), in_doubt=in_doubt)
