import pytest

from services.processor.domain.parse_schema import parse_schema_of
from shared.datasets.catalog import load_catalog
from tests.support.crawled import a_dataset


def test_every_built_in_dataset_has_a_layout() -> None:
    for dataset in load_catalog(environment={}).values():
        assert parse_schema_of(dataset).key == dataset.key


@pytest.mark.parametrize(
    ("kind", "fill"),
    [
        ("timestamp", "yesterday"),
        ("date", "0000-01-01"),
        ("int64", 2**63),
        ("float64", 10**400),
        ("string", "a\0b"),
        ("string", "\ud800"),
    ],
)
def test_a_fill_value_that_does_not_fit_its_column_is_refused_with_the_file(kind: str, fill: object) -> None:
    with pytest.raises(ValueError, match="cannot be in a column of type"):
        a_dataset([{"name": "id", "type": "int64"}, {"name": "x", "type": kind, "fill": fill}], key=["id"])
