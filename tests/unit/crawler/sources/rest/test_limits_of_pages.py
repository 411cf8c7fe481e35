"""A run with a limit takes the first records of numbered pages, and tells of those that it had to leave out."""

import pytest

from tests.support.scripted_pages import BATCHES, crawl, cut, ids_of, listed, missing


@BATCHES
@pytest.mark.parametrize("limit", [1, 3, 4, 6, 8, 9])
async def test_pages_of_one_size_are_cut_at_the_limit_alone(limit: int, batch_rows: int) -> None:
    crawler, _ = await crawl(listed(*cut(9), [], X_Total_Count="9"), batch_rows=batch_rows, limit=limit)
    assert (await ids_of(crawler), missing(crawler)) == (list(range(limit)), [])


@BATCHES
async def test_a_page_that_is_larger_than_the_first_one_is_told(batch_rows: int) -> None:
    [one], *pages = [[{"id": 0}], [{"id": 1}, {"id": 2}], [{"id": 3}]]
    crawler, _ = await crawl(listed([one], *pages, [], X_Total_Count="3"), batch_rows=batch_rows, limit=3)
    assert await ids_of(crawler) == [0, 1, 3]
    [reason] = missing(crawler)
    assert reason.startswith("page 2 has more records than the first page, which had 1: with a limit")
