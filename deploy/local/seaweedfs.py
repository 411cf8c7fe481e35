"""SeaweedFS as S3: master, volume server, filer and gateway in one process."""

from functools import partial

from deploy.local import probes
from deploy.local.child import ChildSpec
from deploy.local.config import StackConfig
from deploy.local.credentials import Credentials
from deploy.local.environment import component_environment
from deploy.local.home import Home, write_private
from deploy.local.ports import HOST
from deploy.local.sockets import socket_folder

NAME = "seaweedfs"


def seaweedfs_spec(home: Home, config: StackConfig, credentials: Credentials) -> ChildSpec:
    """The object store. Every port is said, or it would take ones of its own choice, some of them on all interfaces."""
    data = home.data / "seaweedfs"
    identities = home.path / "s3.json"
    # Collecting garbage twice as often halves what the process keeps.
    tuning = {"GOGC": "50", "GOMEMLIMIT": "384MiB"}
    return ChildSpec(
        name=NAME,
        kind="component",
        port=config.ports.s3,
        argv=(
            str(config.weed),
            "-logtostderr=true",
            "server",
            *_flags(home, config, str(data), str(identities)),
        ),
        environment=component_environment(NAME, home) | tuning,
        is_ready=partial(probes.seaweedfs_is_ready, config.ports.s3, config.ports.weed_master),
        stop_timeout_s=2.0,
        prepare=partial(_prepare, home, credentials),
    )


async def _prepare(home: Home, credentials: Credentials) -> None:
    (home.data / "seaweedfs").mkdir(mode=0o700, exist_ok=True)
    write_private(home.path / "s3.json", credentials.s3_identities())


def _flags(home: Home, config: StackConfig, data: str, identities: str) -> tuple[str, ...]:
    ports = config.ports
    return (
        f"-dir={data}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        f"-master.port={ports.weed_master}",
        f"-master.port.grpc={ports.weed_master_grpc}",
        "-master.volumeSizeLimitMB=256",
        "-master.telemetry=false",
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
        f"-s3.config={identities}",
        "-s3.iam=false",
        # Catalogs nobody asked for; each takes a fixed port, and a second stack would die of it.
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    )
