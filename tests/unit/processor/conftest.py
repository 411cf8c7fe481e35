import pytest

from services.processor.service import ProcessorService
from shared.datasets.catalog import Catalog, load_catalog
from shared.stages.results import Batches
from shared.storage.object_store import ObjectStore, open_memory
from tests.support.datasets import datasets_of


@pytest.fixture
def staging() -> ObjectStore:
    return open_memory("staging")


@pytest.fixture
def batches(staging: ObjectStore) -> Batches:
    return Batches(staging, "processor")


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog(environment={})


@pytest.fixture
def service(batches: Batches, catalog: Catalog) -> ProcessorService:
    return ProcessorService(batches, datasets_of(catalog))
