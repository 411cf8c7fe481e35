"""Requests that are made with the rows of another dataset of the same run."""

from typing import Any

from tests.support.api_datasets import api_dataset
from tests.support.api_server import ApiServer, Asked, refused
from tests.support.crawler import crawler_of

CHANNELS = [{"id": f"c{number}", "open": number != 2} for number in range(1, 5)]


def answer(asked: Asked) -> Any:
    if asked.path == "/channels":
        return CHANNELS
    channel = asked.path.split("/")[2]
    return [{"id": f"{channel}-{number}"} for number in range(2)]


def family(url: str, **child: Any) -> dict[str, Any]:
    text = [{"name": "id", "type": "string"}]
    return {
        "channels": api_dataset(url, "channels", request={"path": "/channels"}, dataset={"columns": text}),
        "messages": api_dataset(
            url,
            "messages",
            request={"path": "/channels/{parent.channel}/messages"},
            for_each=[
                {
                    "parent": "channels",
                    "fields": {"channel": "id"},
                    "where": [{"path": "open", "equals": True}],
                }
            ],
            dataset={"columns": [*text, {"name": "channel", "type": "string", "from": "$parent.channel"}]},
            **child,
        ),
    }


async def test_a_child_is_asked_for_with_the_rows_of_its_parent_which_is_added_to_the_run() -> None:
    async with (
        ApiServer(answer) as api,
        crawler_of(api.url, allow=api.allow, datasets=family(api.url)) as crawler,
    ):
        await crawler.run({"datasets": ["messages"]})
        batches = [batch for batch in crawler.batches if batch.dataset == "messages"]
        found = [row for batch in batches for row in await crawler.rows(batch)]
    assert {planned.dataset for planned in crawler.planned} == {"channels", "messages"}
    assert [row["id"] for row in found] == ["c1-0", "c1-1", "c3-0", "c3-1", "c4-0", "c4-1"]
    assert found[0]["$parent"] == {"channel": "c1"}


async def test_a_parent_that_fails_leaves_its_child_without_rows_and_the_run_still_ends() -> None:
    async with (
        ApiServer(lambda _: refused(404, "no such place")) as api,
        crawler_of(api.url, allow=api.allow, datasets=family(api.url)) as crawler,
    ):
        await crawler.run({"datasets": ["messages"]})
    assert {planned.dataset: planned.batches for planned in crawler.planned} == {"channels": 1, "messages": 0}


async def test_a_parent_that_no_file_has_is_said_when_the_run_is_asked_for() -> None:
    datasets = {"messages": family("http://127.0.0.1:9")["messages"]}
    async with crawler_of("http://127.0.0.1:9", allow="127.0.0.1:9", datasets=datasets) as crawler:
        await crawler.run({"datasets": ["messages"]})
    [planned] = crawler.planned
    assert "messages needs the rows of channels" in (planned.request.refused or "")


async def test_a_refused_child_costs_itself_alone() -> None:
    def without_c3(asked: Asked) -> Any:
        return refused(500, "broken") if "c3" in asked.path else answer(asked)

    async with (
        ApiServer(without_c3) as api,
        crawler_of(api.url, allow=api.allow, datasets=family(api.url)) as crawler,
    ):
        await crawler.run({"datasets": ["messages"]})
        [batch] = [batch for batch in crawler.batches if batch.dataset == "messages"]
        assert batch.counts.read == 4
        assert ["/channels/c3/messages" in page.url for page in batch.missing] == [True]
