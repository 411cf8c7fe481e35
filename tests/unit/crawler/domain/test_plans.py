"""The arithmetic of plans: every record is asked for once, in order, whatever the totals."""

import json
from functools import partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crawler.adapters.id_file import write_ids
from services.crawler.domain import plans
from services.crawler.domain.plans import (
    BATCH_REQUESTS,
    MAX_BATCHES,
    CrawlPlan,
    PlanFailure,
    UnbelievableError,
    failed_plan,
    plan_chain,
    plan_ids,
    plan_nothing,
    plan_single,
)
from shared.events.models import CursorWork, IdWork, PageWork
from shared.reasons import Reason

BATCH_ROWS = 50_000
plan_pages = partial(plans.plan_pages, batch_rows=BATCH_ROWS)

SIZES = st.integers(1, 100_000)
TOTALS = st.integers(0, 3_000_000)
LIMITS = st.none() | st.integers(0, 3_000_000)
RATES = st.sampled_from([0.0, 0.5, 1.0, 10.0, 1000.0])


def pages_of(plan: CrawlPlan) -> list[tuple[int, int]]:
    """First page and number of pages of each batch."""
    works = [plan.work(n) for n in range(plan.units)]
    return [(work.first_page, work.pages) for work in works if isinstance(work, PageWork)]


@given(TOTALS, SIZES, LIMITS, RATES)
def test_pages_are_covered_once_and_in_order(total: int, size: int, limit: int | None, rate: float) -> None:
    try:
        plan = plan_pages("r", "d", total=total, page_size=size, limit=limit, requests_per_second=rate)
    except UnbelievableError:
        assert total > MAX_BATCHES * min(BATCH_ROWS, BATCH_REQUESTS * size)
        return
    wanted = total if limit is None else min(total, limit)
    assert plan.rows == wanted
    following = 1
    for first, pages in pages_of(plan):
        assert first == following
        assert 1 <= pages <= BATCH_REQUESTS
        assert (pages - 1) * size < BATCH_ROWS
        following = first + pages
    assert following - 1 == ceil(wanted / size)
    if plan.requests > MAX_BATCHES or not rate:
        assert plan.requests_per_batch >= min(BATCH_REQUESTS, ceil(plan.requests / MAX_BATCHES))


@given(TOTALS, SIZES, st.integers(0, 3_000_000))
def test_the_pages_of_a_limited_run_have_exactly_the_limit(total: int, size: int, limit: int) -> None:
    try:
        plan = plan_pages("r", "d", total=total, page_size=size, limit=limit, requests_per_second=0)
    except UnbelievableError:
        return
    last = plan.requests
    sizes = [plan.most_rows(page) for page in (1, last - 1, last) if page >= 1]
    assert all(rows is not None and rows <= size for rows in sizes)
    if last and limit <= total:
        assert (last - 1) * size + (plan.most_rows(last) or 0) == limit


@given(TOTALS, SIZES)
def test_positions_of_batches_do_not_overlap(total: int, size: int) -> None:
    try:
        plan = plan_pages("r", "d", total=total, page_size=size, limit=None, requests_per_second=0)
    except UnbelievableError:
        return
    for n, (_, pages) in enumerate(pages_of(plan)[:-1]):
        assert plan.first_position(n) + pages * size == plan.first_position(n + 1)


def planned(ids: list[int | str], limit: int | None = None, rate: float = 0) -> CrawlPlan:
    with TemporaryDirectory() as folder:
        listed = write_ids(json.dumps(ids).encode(), file=Path(folder) / "ids", limit=limit)
        plan = plan_ids("r", "d", count=listed.count, limit=limit, requests_per_second=rate)
        texts = tuple(batch.decode() for batch in listed.batches(plan.requests_per_batch))
    return plan.model_copy(update={"ids": texts})


@given(
    st.lists(st.integers(-5, 3000) | st.text(max_size=3), max_size=3000),
    st.none() | st.integers(0, 3000),
    RATES,
)
def test_ids_are_asked_for_once_and_in_order(ids: list[int | str], limit: int | None, rate: float) -> None:
    plan = planned(ids, limit, rate)
    wanted = list(dict.fromkeys(ids))[:limit]
    again = [identity for n in range(plan.batches or 0) for identity in plan.ids_of(n)]
    assert again == wanted
    start = 0
    for n in range(plan.batches or 0):
        work = plan.work(n)
        assert isinstance(work, IdWork)
        assert (work.start, plan.first_position(n)) == (start, start)
        assert work.stop - work.start == len(plan.ids_of(n)) <= BATCH_REQUESTS
        start = work.stop


def test_a_batch_is_50000_rows_or_1000_requests() -> None:
    big = plan_pages("r", "d", total=10**6, page_size=1000, limit=None, requests_per_second=0)
    small = plan_pages("r", "d", total=10**6, page_size=10, limit=None, requests_per_second=0)
    assert (big.requests_per_batch, big.units) == (50, 20)
    assert (small.requests_per_batch, small.units) == (1000, 100)


def test_a_slow_source_gets_batches_that_end_in_time() -> None:
    plan = plan_pages("r", "d", total=1000, page_size=1, limit=None, requests_per_second=1)
    assert plan.requests_per_batch == 100


def test_a_hundred_million_records_are_a_small_plan() -> None:
    plan = plan_pages("r", "d", total=10**8, page_size=100, limit=None, requests_per_second=100)
    assert plan.units == 2000
    assert len(plan.model_dump_json()) < 500


def test_a_total_beyond_belief_is_refused() -> None:
    with pytest.raises(UnbelievableError, match="requests would be needed"):
        plan_pages("r", "d", total=10**18, page_size=100, limit=None, requests_per_second=0)


def test_a_limit_makes_an_unbelievable_total_harmless() -> None:
    plan = plan_pages("r", "d", total=10**18, page_size=100, limit=5, requests_per_second=0)
    assert plan.batches == 1


@pytest.mark.parametrize(("limit", "batches"), [(None, None), (1001, None), (1000, 10), (999, 10), (0, 0)])
def test_a_total_is_not_an_end_unless_the_limit_is(limit: int | None, batches: int | None) -> None:
    """A total may be capped, cached or behind."""
    plan = plan_pages("r", "d", total=1000, page_size=1, limit=limit, requests_per_second=1)
    assert (plan.batches, plan.is_last_known(9)) == (batches, batches is None)


def test_nothing_wanted_makes_no_batch() -> None:
    assert plan_nothing("r", "d", limit=0).batches == 0
    assert plan_single("r", "d", limit=0).batches == 0
    assert plan_single("r", "d", limit=None).batches == 1


def test_a_chain_has_one_unit_and_an_unknown_number_of_batches() -> None:
    plan = plan_chain("r", "d", first_url="http://h/things", page_size=10, limit=None)
    assert (plan.batches, plan.units) == (None, 1)
    assert plan.work(0) == CursorWork(url="http://h/things", first_position=0)


def test_a_failed_plan_has_one_batch() -> None:
    plan = failed_plan("r", "d", PlanFailure(url="http://h", reason=Reason.FETCH, detail="503"))
    assert plan.batches == 1
    assert plan.work(0) == PageWork(first_page=1, pages=1)


def test_there_is_no_work_outside_the_plan() -> None:
    plan = plan_pages("r", "d", total=5, page_size=10, limit=None, requests_per_second=0)
    for sequence in (-1, 1):
        with pytest.raises(IndexError):
            plan.work(sequence)


@given(st.lists(st.integers() | st.text(max_size=5), max_size=50))
def test_a_plan_survives_its_object(ids: list[int | str]) -> None:
    plan = planned(ids)
    assert CrawlPlan.model_validate_json(plan.model_dump_json()) == plan
