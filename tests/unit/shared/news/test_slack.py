"""What Slack gets, within the bounds that Slack sets."""

import json

from shared.news.channels.slack import message
from shared.news.config import Link
from shared.news.item import DatasetRows, NewsItem
from tests.unit.shared.news.items import RUN_ENDED, delivery_of

LINKS = (
    Link(label="Grafana", url="https://grafana.example.org/d/run?var-run={run_id}"),
    Link(label="Docs", url="https://docs.example.org/"),
)


def test_a_message_has_status_duration_rows_against_the_last_run_checks_and_links() -> None:
    found = message(delivery_of(RUN_ENDED), LINKS)
    header, reason, facts, rows, checks, links = found["blocks"]
    assert found["text"] == "OnPoint: run nightly partial"
    assert header["text"] == {"type": "plain_text", "text": "⚠️ run nightly partial"}
    assert reason["text"]["text"] == "1 batch of posts is dead"
    assert [field["text"] for field in facts["fields"]] == ["*Status*\npartial", "*Duration*\n3 min 5 s"]
    assert rows["text"]["text"] == (
        "```dataset  crawled  rejected  loaded      last run  stored\n"
        "posts      1,040         0   1,040  1,000 (+4 %)   1,040\n"
        "users         10         1       9             -       9```"
    )
    assert checks["text"]["text"] == "• posts: not_null(title) is 3, expected max 0 (warn)"
    assert links["elements"][0]["text"] == (
        "<https://grafana.example.org/d/run?var-run=nightly|Grafana> · <https://docs.example.org/|Docs>"
    )


def test_a_link_to_a_run_is_left_out_where_there_is_no_run() -> None:
    [*_, links] = message(delivery_of(RUN_ENDED.model_copy(update={"run_id": None})), LINKS)["blocks"]
    assert links["elements"][0]["text"] == "<https://docs.example.org/|Docs>"


def test_a_message_in_doubt_says_that_it_may_be_a_repeat() -> None:
    [*_, last] = message(delivery_of(RUN_ENDED, in_doubt=True), ())["blocks"]
    assert last["elements"][0]["text"].startswith("This may be a repeat")


def test_a_text_of_a_source_mentions_no_channel_and_hides_no_link() -> None:
    hostile = "<!channel> <https://evil.example.org|click> ```"
    item = RUN_ENDED.model_copy(update={"text": hostile, "facts": {hostile: hostile}})
    text = json.dumps(message(delivery_of(item), ()))
    assert "<!channel>" not in text
    assert "<https" not in text


def test_the_longest_item_stays_within_the_bounds_of_slack() -> None:
    rows = tuple(
        DatasetRows(dataset="d" * 63, crawled=10**15, rejected=0, loaded=10**15, stored=10**15)
        for _ in range(50)
    )
    item = NewsItem.model_validate(
        RUN_ENDED.model_dump()
        | {
            "title": "&" * 300,
            "text": "&" * 1500,
            "facts": {f"{number} {'&' * 250}": "&" * 300 for number in range(20)},
            "rows": rows,
            "checks": RUN_ENDED.checks * 50,
        }
    )
    blocks = message(delivery_of(item), LINKS)["blocks"]
    assert len(blocks) <= 50
    for block in blocks:
        assert len(block.get("fields", ())) <= 10
        assert all(len(field["text"]) <= 2000 for field in block.get("fields", ()))
        bound = 150 if block["type"] == "header" else 3000
        assert len(block.get("text", {}).get("text", "")) <= bound
