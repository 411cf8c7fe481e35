"""Asks for the exports of a run to be combined, and records what became of it."""

from collections.abc import Iterable, Sequence

from services.quality.adapters.combined_exports import CombinedExportRepository
from shared.bus.messages import Outgoing
from shared.datasets.frozen import RunDatasets
from shared.errors import PermanentError
from shared.events import ids, topics
from shared.events.models import ExportsCombined, ExportsCombineRequested
from shared.observability.logging import get_logger
from shared.stages.results import Batches

log = get_logger()


class Combinations:
    """Of datasets whose file asks for it. Raises `DatabaseUnavailableError` and `StorageUnavailableError` in an outage."""

    def __init__(
        self, repository: CombinedExportRepository, converted: Batches, datasets: RunDatasets
    ) -> None:
        self._repository = repository
        self._converted = converted
        self._datasets = datasets

    async def requests(self, run_id: str, names: Iterable[str]) -> Sequence[Outgoing]:
        """One per dataset and format; none of a run without the converter.

        A request or dataset file that cannot be read is logged: no run fails for its copies.
        """
        try:
            if not await self._converted.is_asked(run_id):
                return ()
            datasets = await self._datasets.find_all(run_id, names)
            combined = {name: own for name, own in datasets.items() if own.exports.are_combined}
            asked = (await self._converted.request(run_id)).formats if combined else None
        except PermanentError:
            log.exception("combination_not_asked")
            return ()
        return [
            _request(run_id, name, file_format)
            for name, own in combined.items()
            for file_format in dict.fromkeys(own.formats if asked is None else asked)
        ]

    async def record(self, combined: ExportsCombined) -> None:
        if combined.status == "failed":
            log.error("combination_failed", dataset=combined.dataset, format=combined.format)
        await self._repository.record(combined)


def _request(run_id: str, dataset: str, file_format: str) -> Outgoing:
    event = ExportsCombineRequested.model_validate(
        {"run_id": run_id, "dataset": dataset, "format": file_format}
    )
    key = ids.combination_id(run_id, dataset, file_format)
    return Outgoing(topics.EXPORTS_COMBINE_REQUESTED, key, event)
