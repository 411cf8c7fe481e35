"""Traces of a run, as a receiver of OTLP gets them: protobuf over HTTP from every service."""

import asyncio
import gzip
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from deploy.local.stack import LocalStack
from shared.events import ids
from shared.events.topology import SERVICES
from tests.e2e.test_whole_way import new_run
from tests.support.pipeline import Pipeline
from tests.support.source import SourceServer

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(300)]

WITHIN_S = 60.0
RECORDS = [{"id": n, "userId": 1, "title": "t", "body": "b" if n % 7 else None} for n in range(1, 41)]
BATCHES = 2


@dataclass
class Span:
    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: set[str]
    attributes: dict[str, Any]


@dataclass
class Receiver:
    """An OTLP endpoint."""

    spans: list[Span] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp inflates it
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        self.spans += _decode(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    def of(self, trace_id: str) -> dict[str, list[Span]]:
        found: defaultdict[str, list[Span]] = defaultdict(list)
        for span in self.spans:
            if span.trace_id == trace_id:
                found[span.name].append(span)
        return found

    async def wait(self, trace_id: str, names: set[str]) -> dict[str, list[Span]]:
        async with asyncio.timeout(WITHIN_S):
            while not names <= set(self.of(trace_id)):
                await asyncio.sleep(0.2)
        return self.of(trace_id)


def _decode(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        about = {one.key: one.value.string_value for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    about["service.name"],
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    {link.trace_id.hex() for link in span.links},
                    {one.key: one.value.string_value or one.value.int_value for one in span.attributes},
                )


@dataclass
class Site:
    pipeline: Pipeline
    receiver: Receiver


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    receiver = Receiver()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/traces", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with SourceServer({"posts": RECORDS}) as source:
        extra = {
            "ONPOINT_CRAWL_ALLOW_HOSTS": source.allow,
            "ONPOINT_SOURCE_JSONPLACEHOLDER_URL": source.url,
            "ONPOINT_SOURCE_JSONPLACEHOLDER_PAGE_SIZE": "20",
            "ONPOINT_SOURCE_JSONPLACEHOLDER_REQUESTS_PER_SECOND": "0",
            "ONPOINT_CRAWL_BATCH_ROWS": "20",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        home: Path = tmp_path_factory.mktemp("stack")
        with LocalStack(home, extra_env=extra) as stack:
            yield Site(Pipeline(stack.environment()), receiver)
            stack.down(wipe=True)
    await runner.cleanup()


async def test_a_batch_is_one_trace_through_every_service_with_a_link_to_its_run(site: Site) -> None:
    run_id = new_run()
    done = await site.pipeline.run({"run_id": run_id, "datasets": ["posts"]})
    assert done["status"] == "succeeded"
    for sequence in range(BATCHES):
        trace_id = ids.batch_id(run_id, "posts", sequence)
        stages = {
            f"process batch.{name}" for name in ("crawled", "processed", "converted", "loaded", "stored")
        }
        work = {
            "fetch",
            "parse",
            "put",
            "get",
            "COPY",
            "commit",
            "commit offset",
            "process crawl.batch.requested",
        }
        spans = await site.receiver.wait(trace_id, stages | work)
        found = [span for some in spans.values() for span in some]
        assert {span.service for span in found} == {f"onpoint-{name}" for name in SERVICES}
        known = {span.span_id for span in found}
        assert len(known) == len(found)
        [root] = [
            span for span in spans["process crawl.batch.requested"] if span.service == "onpoint-crawler"
        ]
        orphans = {
            span.name for span in found if span.parent_id not in known and span.name != "process batch.stored"
        }
        assert orphans == {root.name}
        [loaded] = [span for span in spans["process batch.processed"] if span.service == "onpoint-loader"]
        assert (loaded.attributes["onpoint.run_id"], loaded.attributes["onpoint.stage"]) == (run_id, "loader")
        run_trace = ids.derive("trace of run", run_id)
        assert run_trace in root.links
        assert run_trace in loaded.links


async def test_an_object_of_the_lake_is_a_trace_linked_to_its_batches(site: Site) -> None:
    run_id = new_run()
    await site.pipeline.run({"run_id": run_id, "datasets": ["posts"]})
    batches = {ids.batch_id(run_id, "posts", sequence) for sequence in range(BATCHES)}
    async with asyncio.timeout(WITHIN_S):
        while not any(span.links == batches for span in site.receiver.spans if span.name == "write object"):
            await asyncio.sleep(0.2)


def log_lines(home: Path) -> list[str]:
    return [line for file in home.rglob("loader.log") for line in file.read_text("utf-8").splitlines()]


async def test_the_logs_of_a_batch_name_its_trace(site: Site) -> None:
    run_id = new_run()
    await site.pipeline.run({"run_id": run_id, "datasets": ["posts"]})
    home = Path(site.pipeline.environment["ONPOINT_HOME"])
    loaded = [line for line in log_lines(home) if '"batch_loaded"' in line and run_id in line]
    batches = [ids.batch_id(run_id, "posts", sequence) for sequence in range(BATCHES)]
    assert sorted(
        batch for batch in batches for line in loaded if f'"trace_id": "{batch}"' in line
    ) == sorted(batches)
