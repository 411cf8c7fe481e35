from functools import partial

from services.converter.handlers import Handlers
from services.converter.service import ConverterService
from services.converter.settings import ConverterSettings
from shared.batches.batches import Batches, bury_batch, revive_batch
from shared.datasets.catalog import load_catalog
from shared.events import topics
from shared.runtime import Process, run_service
from shared.settings import DatasetSettings, ObjectStoreSettings, load_settings
from shared.storage.object_store import open_s3


async def build(process: Process) -> None:
    settings = load_settings(ConverterSettings)
    storage = load_settings(ObjectStoreSettings)
    catalog = load_catalog(load_settings(DatasetSettings).datasets_dir)
    batches = Batches(open_s3(storage, storage.staging_bucket), "converter")
    lake = open_s3(storage, storage.lake_bucket)
    handlers = Handlers(ConverterService(batches, lake, catalog))
    process.bus.subscribe(
        topics.BATCH_PROCESSED,
        handler=handlers.on_batch_processed,
        bury=partial(bury_batch, batches),
        revive=partial(revive_batch, batches),
        workers=settings.converter_workers,
    )


def main() -> None:
    run_service("converter", build)


if __name__ == "__main__":
    main()
