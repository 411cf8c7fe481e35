"""Datasets as the stages get them, without files."""

from collections.abc import Mapping

from shared.datasets.frozen import RunDatasets
from shared.datasets.model import Dataset
from shared.storage.object_store import ObjectStore, open_memory


def datasets_of(files: Mapping[str, Dataset], staging: ObjectStore | None = None) -> RunDatasets:
    """What runs were frozen with in `staging`; these where they were not."""
    return RunDatasets(staging or open_memory("no-runs"), lambda: files)
