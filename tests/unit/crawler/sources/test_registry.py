from services.crawler.sources.registry import KINDS, kind_of
from shared.datasets.pagination import PAGINATION_KINDS
from tests.support.crawler import PAGES, source_of


def test_every_kind_that_a_dataset_file_may_name_can_be_crawled() -> None:
    assert set(KINDS) == set(PAGINATION_KINDS.values())


def test_the_kind_of_a_source_is_found_by_its_options() -> None:
    pagination = source_of("http://somewhere", PAGES).pagination
    assert kind_of(pagination).options is PAGINATION_KINDS["page"]
