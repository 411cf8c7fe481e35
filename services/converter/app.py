from functools import partial

from services.converter.handlers import Handlers
from services.converter.service.combiner import Combiner
from services.converter.service.conversion import ConverterService
from services.converter.settings import ConverterSettings
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.events import topics
from shared.runtime.process import Process, run_service
from shared.settings.datasets import DatasetSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches, mark_batch_failed, redrive_batch
from shared.storage.object_store import open_s3


async def build(process: Process) -> None:
    settings = load_settings(ConverterSettings)
    storage = load_settings(ObjectStoreSettings)
    folder = DatasetFolder(load_settings(DatasetSettings).datasets_dir)
    folder.read()  # logs the files that cannot be used
    staging = open_s3(storage, storage.staging_bucket)
    batches = Batches(staging, "converter")
    lake = open_s3(storage, storage.lake_bucket)
    datasets = RunDatasets(staging, folder.read)
    handlers = Handlers(ConverterService(batches, lake, datasets), Combiner(staging, lake, datasets))
    process.subscriptions.subscribe(
        topics.BATCH_PROCESSED,
        handler=handlers.on_batch_processed,
        mark_failed=partial(mark_batch_failed, batches),
        redrive=partial(redrive_batch, batches),
        workers=settings.converter_workers,
    )
    process.subscriptions.subscribe(
        topics.EXPORTS_COMBINE_REQUESTED,
        handler=handlers.on_combine_requested,
        mark_failed=handlers.mark_combination_failed,
        apart=True,
    )


def main() -> None:
    run_service("converter", build)


if __name__ == "__main__":
    main()
