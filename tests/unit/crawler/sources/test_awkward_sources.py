"""Random sources, awkward in every way: a crawl is complete, or reported as incomplete.

The same 150 in every run of the tests; `make test-sources` reads 2,000 others, and `SEED=…` repeats its run.
"""

import asyncio
import os
from collections import Counter

import hypothesis
from hypothesis import HealthCheck, given, settings

from services.quality.domain.row_accounting import DatasetPlan, RunFacts, StageTotals, summarize
from services.quality.domain.verdict import Terms, decide
from shared.events.models import MissingRecords
from tests.support.awkward import NOON, Awkward, AwkwardServer, awkward_sources, objection
from tests.support.crawler import Crawler, crawler_of, dataset_of

SEED = int(os.environ.get("SEED", "1"))
EXAMPLES = int(os.environ.get("SOURCES", "150"))


RUNNER = asyncio.Runner()
"""One loop for all of them: a thousand would each start and stop their threads."""


async def facts_of(crawler: Crawler) -> tuple[RunFacts, set[int]]:
    """The ledger's facts, had every record that came gone through all stages."""
    rows = [
        row
        for manifest in crawler.batches
        if manifest.status == "done"
        for row in await crawler.rows(manifest)
    ]
    known = Counter(row["id"] for row in rows)
    dead = sum(manifest.status == "dead" for manifest in crawler.batches)
    missing = tuple(
        MissingRecords(dataset="things", url=page.url, reason=page.reason)
        for manifest in crawler.batches
        for page in manifest.missing
    )
    promised = [m.promised for m in crawler.batches if m.promised is not None]
    plan = DatasetPlan(crawler.planned[0].batches, max(promised, default=crawler.planned[0].rows))
    accepted = len(known)
    totals = (
        StageTotals("things", "crawler", "done", len(rows)),
        StageTotals(
            "things",
            "processor",
            "done",
            len(rows),
            accepted,
            0,
            len(rows) - accepted,
            repeated=len(rows) - accepted,
        ),
        StageTotals("things", "loader", "done", accepted, loaded=accepted),
        StageTotals("things", "s3sink", "done", accepted, accepted),
    )
    facts = RunFacts(
        run_id="r",
        requested_at=NOON,
        started_at=NOON,
        refused=None,
        plans={"things": plan},
        totals=totals,
        files=(),
        dead_batches={"things": dead},
        cancelled=False,
        dead=(),
        dead_total=dead,
        missing=missing,
        missing_total=len(missing),
        missing_pages={"things": len(missing)},
    )
    return facts, set(known)


async def read(shape: Awkward) -> str | None:
    """What is wrong with the end of its crawl."""
    async with AwkwardServer(shape) as server:
        datasets = {
            "things": dataset_of(
                server.url,
                shape.pagination(),
                records_path=["items"] if shape.under_key else [],
                concurrency=1,
            )
        }
        async with crawler_of(
            server.url, allow=server.allow, datasets=datasets, batch_rows=shape.batch_rows
        ) as crawler:
            parameters = {} if shape.limit is None else {"things": {"limit": shape.limit}}
            await crawler.run({"run_id": "r", "datasets": ["things"], "parameters": parameters})
            facts, came = await facts_of(crawler)
            assert all(planned.batches == len(crawler.batches) for planned in crawler.planned)
            assert len(server.seen) < 400
    verdict = decide(facts, summarize(facts), [], {"things": Terms()})
    wrong = objection(server, verdict.status, came)
    return None if wrong is None else f"{wrong} ({verdict.reason}; seed {SEED})"


@hypothesis.seed(SEED)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(awkward_sources())
def test_a_crawl_is_complete_or_reported_as_incomplete(shape: Awkward) -> None:
    wrong = RUNNER.run(read(shape))
    assert wrong is None, wrong
