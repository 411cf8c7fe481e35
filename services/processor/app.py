from functools import partial
from importlib.util import find_spec

from services.processor.adapters.allocator import use_one_allocator
from services.processor.handlers import Handlers
from services.processor.service import ProcessorService
from services.processor.settings import ProcessorSettings, TransformSettings
from services.processor.work import Work, transformer_of, work_on
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.errors import ConfigurationError
from shared.events import topics
from shared.runtime.process import Process, run_service
from shared.settings.dask import DaskSettings
from shared.settings.datasets import DatasetSettings
from shared.settings.masks import MaskSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.variables import variable_of
from shared.stages.results import Batches, mark_batch_failed, redrive_batch
from shared.storage.object_store import open_s3
from shared.transforms.apply import Transformer


async def build(process: Process) -> None:
    settings = load_settings(ProcessorSettings)
    dask = load_settings(DaskSettings)
    storage = load_settings(ObjectStoreSettings)
    folder = DatasetFolder(load_settings(DatasetSettings).datasets_dir)
    folder.read()  # logs the files that cannot be used
    staging = open_s3(storage, storage.staging_bucket)
    batches = Batches(staging, "processor")
    transformer = transformer_of(load_settings(TransformSettings), load_settings(MaskSettings))
    local = partial(work_on, batches.artifacts, transformer)
    work = _on_cluster(dask, transformer, local, settings, process) if dask.dask_scheduler_address else local
    handlers = Handlers(ProcessorService(batches, RunDatasets(staging, folder.read), work))
    process.subscriptions.subscribe(
        topics.BATCH_CRAWLED,
        handler=handlers.on_batch_crawled,
        mark_failed=partial(mark_batch_failed, batches),
        redrive=partial(redrive_batch, batches),
        workers=dask.dask_batches if dask.dask_scheduler_address else settings.processor_workers,
    )


def _on_cluster(
    dask: DaskSettings, transformer: Transformer, local: Work, settings: ProcessorSettings, process: Process
) -> Work:
    """Raises `ConfigurationError` where Dask is not installed."""
    if find_spec("distributed") is None:
        raise ConfigurationError(
            f"{variable_of('dask_scheduler_address')}: Dask is not installed here: pip install 'onpoint[dask]'"
        )
    from services.processor.cluster.start import cluster_work  # noqa: PLC0415 - only with a cluster Dask is loaded

    return cluster_work(
        dask, transformer, local, local_batches=settings.processor_workers, resources=process.resources
    )


def main() -> None:
    use_one_allocator()
    run_service("processor", build)


if __name__ == "__main__":
    main()
