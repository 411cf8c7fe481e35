"""The source of a chaos run and its records, and the requests for runs."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy.demo.source import RENDERERS, story
from tests.chaos.plan import Plan
from tests.support.source import SourceServer

DELAY_S = 0.2
"""Of every answer, so that a request lasts long enough to be met."""
CRAWL_SHARE = 0.4
"""Of the time between two requests for runs: a crawl takes this share, so that there is work when a fault comes. The
rest is there to catch up."""
SINK_AGE_S = 5
ASK_TIMEOUT_S = 5.0
SOURCES = ("JSONPLACEHOLDER", "HACKERNEWS")


def make_records(rows: dict[str, int]) -> dict[str, list[dict[str, Any]]]:
    """The demo source's records: the same number always reads the same."""
    return {
        name: [json.loads(RENDERERS[name](n) if name != "stories" else story(n)) for n in range(1, count + 1)]
        for name, count in rows.items()
    }


def write_records(records: dict[str, list[dict[str, Any]]], folder: Path) -> dict[str, Path]:
    """One JSON line each, for the checker."""
    files = {name: folder / f"source-{name}.jsonl" for name in records}
    for name, file in files.items():
        file.write_text("".join(json.dumps(record) + "\n" for record in records[name]), encoding="utf-8")
    return files


def source_settings(source: SourceServer, plan: Plan) -> dict[str, str]:
    """What leads the crawler to the source. A page is a batch: many events, so that every kill meets work."""
    tier = plan.tier
    settings = {
        "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
        "ONPOINT_CRAWL_BATCH_ROWS": str(tier.batch_rows),
        "ONPOINT_S3SINK_MAX_AGE_S": str(SINK_AGE_S),
    }
    pages = sum(-(-rows // tier.batch_rows) for name, rows in tier.rows.items() if name != "stories")
    # Both sources are one host here, which has one budget.
    per_s = (pages + tier.rows["stories"]) / (CRAWL_SHARE * plan.asks[1].at_s)
    for name in SOURCES:
        settings[f"ONPOINT_SOURCE_{name}_URL"] = source.url
        settings[f"ONPOINT_SOURCE_{name}_REQUESTS_PER_SECOND"] = f"{per_s:.2f}"
        settings[f"ONPOINT_SOURCE_{name}_PAGE_SIZE"] = str(tier.batch_rows)
    return settings


async def ask_for_runs(servers: str, plan: Plan, began_s: float) -> None:
    """Every request at its time. One that meets an outage is sent again, which changes nothing."""
    async with asyncio.TaskGroup() as group:
        for ask in plan.asks:
            await asyncio.sleep(max(0.0, began_s + ask.at_s - time.monotonic()))
            group.create_task(_ask(servers, ask.run_id, sorted(plan.tier.rows)))


async def _ask(servers: str, run_id: str, datasets: list[str]) -> None:
    value = json.dumps({"run_id": run_id, "datasets": datasets, "requested_by": "chaos"}).encode()
    while not await _sent(servers, run_id.encode(), value):
        await asyncio.sleep(1)


async def _sent(servers: str, key: bytes, value: bytes) -> bool:
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            await producer.start()
            await producer.send_and_wait("crawl.requested", value, key=key)
    except (KafkaError, OSError, TimeoutError):
        return False
    else:
        return True
    finally:
        await _close(producer)


async def _close(producer: AIOKafkaProducer) -> None:
    """An unsent record would be waited for."""
    closing = asyncio.create_task(producer.stop())
    await asyncio.wait({closing}, timeout=2)
    if not closing.done():
        closing.cancel()
