"""A run's datasets as their files were when it was accepted. Every stage uses these, whatever the files contain now."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import ValidationError

from shared.datasets.chain import ColumnsChain
from shared.datasets.model import Dataset
from shared.datasets.versions import FILE, columns_at
from shared.errors import PermanentError, TransientError
from shared.events.decode import explain
from shared.events.models import BatchManifest
from shared.reasons import Reason
from shared.storage import keys
from shared.storage.object_store import ObjectStore

DATASETS_CACHED = 256
"""Parsed ones. A dataset of 1,500 columns takes two megabytes, one of ten twenty kilobytes."""

Today = Callable[[], Mapping[str, Dataset]]


class RunDatasets:
    """The datasets of runs, from `runs/<run_id>/<dataset>/dataset.json`. The first writer wins; read ones are cached.

    A run that an older version accepted has no such object: `today` gives the files as they are now instead. Every method
    raises `StorageUnavailableError` in an outage.
    """

    def __init__(self, staging: ObjectStore, today: Today) -> None:
        self._staging = staging
        self._today = today
        self.chain = ColumnsChain(staging)
        self._known: OrderedDict[str, Dataset] = OrderedDict()

    async def get(self, run_id: str, name: str) -> Dataset:
        """The dataset that counts for the run. One small object is read, once per process.

        Raises `PermanentError` (`schema`) where the run has none and no file of today names it, and for an object that
        is not a dataset.
        """
        found = await self.find(run_id, name) or self._today().get(name)
        if found is None:
            raise PermanentError(
                Reason.SCHEMA, f"no dataset is named {name}: neither run {run_id} has it nor a file"
            )
        return found

    async def of_batches(self, batches: Sequence[BatchManifest]) -> Dataset:
        """With the columns that processed batches of one dataset and run have together. Raises as `get`."""
        first = batches[0]
        dataset = await self.get(first.run_id, first.dataset)
        version = max(batch.columns_version for batch in batches)
        return (
            dataset if version == FILE else columns_at(dataset, await self.chain.get(dataset.name, version))
        )

    async def newest(self, run_id: str, name: str) -> Dataset:
        """With all columns that the dataset has by now, as its table has them. Raises as `get`.

        Costs a look for one object that is not there yet, where the columns may change.
        """
        dataset = await self.get(run_id, name)
        if dataset.contract.is_fixed:
            return dataset
        versions = await self.chain.all(name)
        return columns_at(dataset, versions[-1] if versions else None, in_table=True)

    async def find(self, run_id: str, name: str) -> Dataset | None:
        """As it was stored; None where it was not. Raises `PermanentError` (`schema`) where the object is not a dataset."""
        key = keys.dataset_key(run_id, name)
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        found = await self._staging.get(key)
        return None if found is None else self._remember(key, _parse(found, name, key))

    async def find_all(self, run_id: str, names: Iterable[str]) -> dict[str, Dataset]:
        """Those of the names that count for the run and can be read; what keeps one from being read is left out."""
        datasets: dict[str, Dataset] = {}
        for name in names:
            try:
                datasets[name] = await self.get(run_id, name)
            except PermanentError:
                continue
        return datasets

    async def put_if_absent(self, run_id: str, dataset: Dataset) -> Dataset:
        """The dataset that counts for the run: the first that was stored. Idempotent; one small object is written."""
        key = keys.dataset_key(run_id, dataset.name)
        if key in self._known:
            return self._known[key]
        if await self._staging.create(key, dump(dataset)):
            return self._remember(key, dataset)
        winner = await self.find(run_id, dataset.name)
        if winner is None:
            raise TransientError(f"{key} was there and is gone: staging is being swept")
        return winner

    def _remember(self, key: str, dataset: Dataset) -> Dataset:
        self._known[key] = dataset
        if len(self._known) > DATASETS_CACHED:
            self._known.popitem(last=False)
        return dataset


def dump(dataset: Dataset) -> bytes:
    """The content of its file, with the environment's replacements. A field that the file omits is omitted here."""
    return dataset.model_dump_json(by_alias=True, exclude_unset=True).encode()


def _parse(value: bytes, name: str, key: str) -> Dataset:
    try:
        dataset = Dataset.model_validate_json(value)
    except ValidationError as error:
        raise PermanentError(Reason.SCHEMA, f"{key}: {explain(error)}") from error
    if dataset.name != name:
        raise PermanentError(Reason.SCHEMA, f"{key}: it is the file of dataset {dataset.name}")
    return dataset
