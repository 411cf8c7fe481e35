from functools import partial

from services.processor.handlers import Handlers
from services.processor.service import ProcessorService
from services.processor.settings import ProcessorSettings
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.events import topics
from shared.runtime.process import Process, run_service
from shared.settings.datasets import DatasetSettings
from shared.settings.masks import MaskSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.stages.results import Batches, mark_batch_failed, redrive_batch
from shared.storage.object_store import open_s3
from shared.transforms.apply import Transformer
from shared.transforms.sandbox import Limits


async def build(process: Process) -> None:
    settings = load_settings(ProcessorSettings)
    storage = load_settings(ObjectStoreSettings)
    folder = DatasetFolder(load_settings(DatasetSettings).datasets_dir)
    folder.read()  # logs the files that cannot be used
    staging = open_s3(storage, storage.staging_bucket)
    batches = Batches(staging, "processor")
    transformer = Transformer(
        Limits(settings.transform_memory_mib, settings.transform_timeout_s),
        load_settings(MaskSettings).mask_key(),
    )
    handlers = Handlers(ProcessorService(batches, RunDatasets(staging, folder.read), transformer))
    process.subscriptions.subscribe(
        topics.BATCH_CRAWLED,
        handler=handlers.on_batch_crawled,
        mark_failed=partial(mark_batch_failed, batches),
        redrive=partial(redrive_batch, batches),
        workers=settings.processor_workers,
    )


def main() -> None:
    run_service("processor", build)


if __name__ == "__main__":
    main()
