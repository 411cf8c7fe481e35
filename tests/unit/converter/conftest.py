import pytest

from services.converter.service.combiner import Combiner
from services.converter.service.conversion import ConverterService
from shared.datasets.model import Dataset
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.datasets import datasets_of
from tests.support.processed import a_dataset


@pytest.fixture
def staging() -> ObjectStore:
    return open_memory("staging")


@pytest.fixture
def lake() -> ObjectStore:
    return open_memory("lake")


@pytest.fixture
def batches(staging: ObjectStore) -> Batches:
    return Batches(staging, "converter")


@pytest.fixture
def things() -> Dataset:
    return a_dataset(
        {
            "id": "int64",
            "name": "string",
            "price": "float64",
            "sold": "boolean",
            "at": "timestamp",
            "day": "date",
        },
        key=["id"],
    )


@pytest.fixture
def service(batches: Batches, lake: ObjectStore, things: Dataset) -> ConverterService:
    return ConverterService(batches, lake, datasets_of({"things": things}))


@pytest.fixture
def combiner(staging: ObjectStore, lake: ObjectStore, things: Dataset) -> Combiner:
    return Combiner(staging, lake, datasets_of({"things": things}))
