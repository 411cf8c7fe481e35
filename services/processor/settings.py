from typing import Annotated

from pydantic import Field

from shared.settings.model import Settings


class ProcessorSettings(Settings):
    processor_workers: Annotated[
        int,
        Field(ge=1, le=16, description="batches processed at a time; one computes while another transfers"),
    ] = 2


class TransformSettings(Settings):
    """Of the processor, and of a worker of the Dask cluster."""

    transform_memory_mib: Annotated[
        int, Field(ge=64, le=65_536, description="MiB that each step of a transform may use")
    ] = 1024
    transform_timeout_s: Annotated[
        float, Field(gt=0, le=3_600, description="time that the transform of one batch may take")
    ] = 60


class DaskWorkerSettings(Settings):
    """Of a worker of the Dask cluster, beside those of its scheduler and of the object store."""

    dask_worker_host: Annotated[
        str | None,
        Field(
            description="address that a Dask worker listens on; absent: the one that leads to the scheduler"
        ),
    ] = None
    dask_worker_threads: Annotated[
        int, Field(ge=1, le=64, description="batches that a Dask worker has in hand at a time")
    ] = 1
    dask_worker_memory_mib: Annotated[
        int, Field(ge=256, description="MiB from four fifths of which on a Dask worker begins no batch")
    ] = 1024
