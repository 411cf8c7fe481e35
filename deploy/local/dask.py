"""A Dask cluster on this machine: a scheduler and workers for the processor's batches."""

import os
import sys
from functools import partial
from importlib.util import find_spec

from deploy.local import probes
from deploy.local.config import StackConfig
from deploy.local.credentials import Credentials
from deploy.local.environment import (
    ALLOCATORS,
    DASK_ADDRESS,
    HTTP_PORT,
    client_environment,
    component_environment,
    dask_address,
)
from deploy.local.errors import StackError
from deploy.local.home import Home
from deploy.local.managed_process import ProcessSpec
from deploy.local.names import DASK_SCHEDULER, dask_worker
from deploy.local.ports import HOST

STOP_TIMEOUT_S = 5.0
"""Nothing of value is in these processes: a batch that they have in hand is delivered again."""

LIBRARIES = ("LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "SSL_CERT_FILE")
"""What a worker may need of the caller's environment to find its code."""

STORE_SETTINGS = ("AWS_", "ONPOINT_S3_", "ONPOINT_STAGING_", "ONPOINT_LAKE_")


def require_dask() -> None:
    """Raises `StackError` where Dask is not installed."""
    if find_spec("distributed") is None:
        raise StackError(
            "--dask: Dask is not installed here: install the extra `dask` (pip install 'onpoint[dask]')"
        )


def dask_specs(home: Home, config: StackConfig, credentials: Credentials) -> list[ProcessSpec]:
    """The scheduler and its workers; none where the stack has no cluster."""
    if not config.dask_worker_ports:
        return []
    workers = enumerate(config.dask_worker_ports, 1)
    return [
        _scheduler(home, config),
        *(_worker(dask_worker(number), port, home, config, credentials) for number, port in workers),
    ]


def _scheduler(home: Home, config: StackConfig) -> ProcessSpec:
    dashboard = config.ports.dask_dashboard
    return ProcessSpec(
        name=DASK_SCHEDULER,
        kind="component",
        port=config.ports.dask,
        argv=(
            *(sys.executable, "-m", "distributed.cli.dask_scheduler"),
            *("--host", f"tcp://{HOST}", "--port", str(config.ports.dask)),
            *("--dashboard-address", f"{HOST}:{dashboard}"),
        ),
        environment=_inherited() | component_environment(DASK_SCHEDULER, home),
        is_ready=partial(probes.http_is_ok, dashboard, "/health"),
        stop_timeout_s=STOP_TIMEOUT_S,
    )


def _worker(name: str, port: int, home: Home, config: StackConfig, credentials: Credentials) -> ProcessSpec:
    """It gets the settings of the object store and of the cluster, and no way to Kafka or PostgreSQL."""
    store = {
        key: value
        for key, value in client_environment(home, config, credentials).items()
        if key.startswith(STORE_SETTINGS)
    }
    own = {key: value for key, value in config.overrides.items() if key.startswith("ONPOINT_DASK_WORKER_")}
    return ProcessSpec(
        name=name,
        kind="component",
        port=port,
        argv=(sys.executable, "-m", "services.processor.cluster.app"),
        environment=_inherited()
        | ALLOCATORS
        | component_environment(name, home)
        | store
        | own
        | {
            DASK_ADDRESS: dask_address(config),
            "ONPOINT_DASK_WORKER_HOST": HOST,
            HTTP_PORT: str(port),
            "PYTHONUNBUFFERED": "1",
        },
        is_ready=partial(probes.http_is_ok, port, "/readyz"),
        is_alive=partial(probes.http_is_ok, port, "/livez"),
        stop_timeout_s=STOP_TIMEOUT_S,
    )


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in LIBRARIES if name in os.environ}
