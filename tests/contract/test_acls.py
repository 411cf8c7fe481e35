"""docs/security.md names the least rights of each service: what its topics are, and nothing more."""

import pytest

from console.verify.bus import CONSUMES, LISTENS
from shared.events import topics
from tests.support.acls import documented

WRITES = {
    "crawler": {
        topics.CRAWL_BATCH_REQUESTED,
        topics.CRAWL_PLANNED,
        topics.BATCH_CRAWLED,
        topics.BATCH_FAILED,
    },
    "processor": {topics.BATCH_PROCESSED, topics.BATCH_FAILED},
    "converter": {topics.BATCH_CONVERTED, topics.EXPORTS_COMBINED, topics.BATCH_FAILED},
    "loader": {topics.BATCH_LOADED, topics.BATCH_FAILED},
    "s3sink": {topics.BATCH_STORED, topics.BATCH_FAILED},
    "quality": {
        topics.RUN_SEALED,
        topics.RUN_DRAINED,
        topics.RUN_COMPLETED,
        topics.EXPORTS_COMBINE_REQUESTED,
    },
}

AFTER_THE_END = {"crawler": (topics.RUN_COMPLETED,)}
"""What a service reads once a run has ended: the checker does not wait for it."""


def test_every_service_and_the_command_line_have_a_row() -> None:
    assert documented().keys() == {*CONSUMES, "console"}


@pytest.mark.parametrize("service", CONSUMES)
def test_a_service_reads_its_topics_in_its_own_group(service: str) -> None:
    rights = documented()[service]

    heard = {*LISTENS.get(service, ()), *AFTER_THE_END.get(service, ())}
    assert rights.reads == {*CONSUMES[service], *heard, topics.retry_topic(service)}
    assert rights.groups == {topics.consumer_group(service)}


@pytest.mark.parametrize("service", CONSUMES)
def test_a_service_writes_its_results_its_retries_and_its_dead_letters(service: str) -> None:
    rights = documented()[service]

    assert rights.writes == WRITES[service] | {topics.retry_topic(service), topics.dead_letter_topic(service)}


def test_only_the_service_that_publishes_in_transactions_has_transactional_ids() -> None:
    found = {
        user: rights.transactional_ids for user, rights in documented().items() if rights.transactional_ids
    }

    assert found == {"quality": {f"{topics.consumer_group('quality')}-{topics.RUN_DRAINED}-"}}
