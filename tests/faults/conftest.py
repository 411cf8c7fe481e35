"""A stack that these tests may kill, with a source that is slow enough to be caught in the middle of a run."""

from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.local.stack import LocalStack
from tests.support.pipeline import Pipeline
from tests.support.records import TestData, load_test_data
from tests.support.source import SourceServer

PAGE_SIZE = 20
LEAST_STORIES = 2500
"""Three batches of single requests, so that a run can be caught in their middle."""


@pytest.fixture(scope="session")
def test_data() -> TestData:
    return load_test_data().with_stories(LEAST_STORIES)


@pytest.fixture(scope="session")
async def slow_source(test_data: TestData) -> AsyncIterator[SourceServer]:
    async with SourceServer(test_data.records, delay_s=0.05) as server:
        yield server


@pytest.fixture(scope="session")
def breakable(tmp_path_factory: pytest.TempPathFactory, slow_source: SourceServer) -> Iterator[LocalStack]:
    extra = {"ONPOINT_CRAWL_ALLOW_HOSTS": slow_source.allow}
    for name in ("JSONPLACEHOLDER", "HACKERNEWS"):
        extra[f"ONPOINT_SOURCE_{name}_URL"] = slow_source.url
        extra[f"ONPOINT_SOURCE_{name}_REQUESTS_PER_SECOND"] = "0"
        extra[f"ONPOINT_SOURCE_{name}_PAGE_SIZE"] = str(PAGE_SIZE)
    with LocalStack(tmp_path_factory.mktemp("breakable"), ports="free", extra_env=extra) as stack:
        yield stack
        stack.down(wipe=True)


@pytest.fixture(scope="session")
def pipeline(breakable: LocalStack) -> Pipeline:
    return Pipeline(breakable.environment())
