"""SeaweedFS as S3: master, volume server, filer and gateway in one process."""

import contextlib
from functools import partial
from pathlib import Path

from deploy.local import probes
from deploy.local.config import StackConfig
from deploy.local.credentials import Credentials
from deploy.local.environment import component_environment
from deploy.local.home import Home, write_private
from deploy.local.managed_process import ProcessSpec
from deploy.local.ports import HOST, Ports
from deploy.local.sockets import socket_folder

NAME = "seaweedfs"

STOP_TIMEOUT_S = 2.0
"""Its filer waits 15 s for streams that its own gateway has open. What it has acknowledged is written by then,
and killing it loses none of it."""

MEMORY_TUNING = {"GOGC": "50", "GOMEMLIMIT": "384MiB"}
"""Collecting garbage twice as often halves what the process keeps."""


def seaweedfs_spec(home: Home, config: StackConfig, credentials: Credentials) -> ProcessSpec:
    """The object store. It is told every port: left to itself it takes fixed ones, some on all interfaces."""
    return ProcessSpec(
        name=NAME,
        kind="component",
        port=config.ports.s3,
        argv=(str(config.weed), "-logtostderr=true", "server", *_flags(home, config.ports)),
        environment=component_environment(NAME, home) | MEMORY_TUNING,
        is_ready=partial(probes.seaweedfs_is_ready, config.ports.s3, config.ports.weed_master),
        stop_timeout_s=STOP_TIMEOUT_S,
        prepare=partial(_prepare, home, config.ports, credentials),
    )


def remove_sockets(ports: Ports) -> None:
    """Remove the sockets that SeaweedFS leaves among the temporary files.

    Their paths cannot be set.
    """
    grpc = {
        "master": ports.weed_master_grpc,
        "volume": ports.weed_volume_grpc,
        "filer": ports.weed_filer_grpc,
        "s3": ports.s3_grpc,
    }
    for part, port in grpc.items():
        with contextlib.suppress(OSError):
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink()  # noqa: S108


async def _prepare(home: Home, ports: Ports, credentials: Credentials) -> None:
    (home.data / "seaweedfs").mkdir(mode=0o700, exist_ok=True)
    write_private(home.s3_identities_file, credentials.s3_identities())
    remove_sockets(ports)


def _flags(home: Home, ports: Ports) -> tuple[str, ...]:
    return (
        f"-dir={home.data / 'seaweedfs'}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-master.port={ports.weed_master}",
        f"-master.port.grpc={ports.weed_master_grpc}",
        # Files of a bucket, which grow to this size: small ones keep a test machine's disk small.
        "-master.volumeSizeLimitMB=256",
        "-master.telemetry=false",
        # A lone master need not wait ten seconds for others before it elects itself.
        "-master.electionTimeout=400ms",
        "-master.heartbeatInterval=100ms",
        f"-volume.port={ports.weed_volume}",
        f"-volume.port.grpc={ports.weed_volume_grpc}",
        "-volume.max=0",
        "-volume.preStopSeconds=0",
        f"-filer.port={ports.weed_filer}",
        f"-filer.port.grpc={ports.weed_filer_grpc}",
        f"-filer.localSocket={socket_folder(home)}/filer.sock",
        "-s3",
        f"-s3.port={ports.s3}",
        f"-s3.port.grpc={ports.s3_grpc}",
        f"-s3.localSocket={socket_folder(home)}/s3.sock",
        f"-s3.config={home.s3_identities_file}",
        "-s3.iam=false",
        # Unused catalogs; each takes a fixed port, which a second stack would find taken.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    )
