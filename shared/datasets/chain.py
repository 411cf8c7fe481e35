"""The versions of datasets' columns in staging: numbered without a gap, written once, read by every run."""

from pydantic import ValidationError

from shared.datasets.versions import FILE, ColumnsVersion
from shared.errors import PermanentError
from shared.events.decode import explain
from shared.reasons import Reason
from shared.storage import keys
from shared.storage.errors import ObjectMissingError
from shared.storage.object_store import ObjectStore

MAX_VERSIONS = 10_000
"""Of a dataset. Each adds a column or makes one wider, so bounded columns bound the versions far below."""


class ColumnsChain:
    """Every method raises `StorageUnavailableError` in an outage. What was read is kept: it never changes."""

    def __init__(self, staging: ObjectStore) -> None:
        self._staging = staging
        self._known: dict[str, list[ColumnsVersion]] = {}

    async def all(self, dataset: str) -> list[ColumnsVersion]:
        """Every version beyond the file, as of now. One look at the object that would be next, if none is new."""
        known = self._known.setdefault(dataset, [])
        while len(known) < MAX_VERSIONS and (found := await self._read(dataset, len(known) + FILE + 1)):
            if len(known) + FILE + 1 == found.version:
                known.append(found)
        return list(known)

    async def get(self, dataset: str, version: int) -> ColumnsVersion | None:
        """None for the version that is the file. Raises `ObjectMissingError` for one that is not there."""
        if version == FILE:
            return None
        known = self._known.get(dataset, [])
        if version - FILE > len(known):
            known = await self.all(dataset)
        if version - FILE > len(known):
            raise ObjectMissingError(self._staging.uri(keys.columns_key(dataset, version)))
        return known[version - FILE - 1]

    async def append(self, version: ColumnsVersion) -> bool:
        """False: another process was first with a version of this number. One small object is written."""
        key = keys.columns_key(version.dataset, version.version)
        document = version.model_dump_json(by_alias=True, exclude_defaults=True)
        return await self._staging.create(key, document.encode())

    async def _read(self, dataset: str, version: int) -> ColumnsVersion | None:
        key = keys.columns_key(dataset, version)
        value = await self._staging.get(key)
        if value is None:
            return None
        try:
            found = ColumnsVersion.model_validate_json(value)
        except ValidationError as error:
            raise PermanentError(Reason.SCHEMA, f"{key}: {explain(error)}") from error
        if (found.dataset, found.version) != (dataset, version):
            raise PermanentError(Reason.SCHEMA, f"{key}: it is version {found.version} of {found.dataset}")
        return found
