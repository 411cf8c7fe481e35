"""The settings that lead a client to the stack, and the environments of the stack's own processes."""

import os
from collections.abc import Mapping
from pathlib import Path

from deploy.local.config import ProxyPorts, StackConfig
from deploy.local.credentials import POSTGRES_DATABASE, POSTGRES_USER, S3_REGION, Credentials
from deploy.local.home import Home
from deploy.local.names import CDC_SINK
from deploy.local.ports import HOST

MARK = "ONPOINT_STACK_MARK"
"""Names the stack and part that a process belongs to, also when its supervisor is gone:
`<identity>:<name>`.
"""

DEFAULT_STAGING_BUCKET = "onpoint-staging"
DEFAULT_LAKE_BUCKET = "onpoint-lake"
HTTP_PORT = "ONPOINT_HTTP_PORT"
DASK_ADDRESS = "ONPOINT_DASK_SCHEDULER_ADDRESS"

ALLOCATORS = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "16777216",
    "MIMALLOC_PURGE_DELAY": "0",
}
"""Two arenas of malloc instead of eight a core, blocks above 1 MiB mapped by themselves, and Arrow's allocator gives
freed pages back at once: a quarter less memory for the services at the same speed, and a peak that does not creep with
the length of a run. Up to 16 MiB of small blocks stay for the next use: a page that the system clears anew costs as much
as parsing it. They are read when a process starts; the image of the services sets the same. The caller's own win.
"""

OWN_SETTINGS = frozenset(
    {
        "ONPOINT_HOME",
        "ONPOINT_COMPONENTS_DIR",
        "ONPOINT_PORTS",
        "ONPOINT_KAFKA_BOOTSTRAP_SERVERS",
        "ONPOINT_POSTGRES_DSN",
        "ONPOINT_S3_ENDPOINT_URL",
        "ONPOINT_S3_CREDENTIALS",
        "ONPOINT_S3_CREDENTIALS_FILE",
        "ONPOINT_STAGING_BUCKET",
        "ONPOINT_LAKE_BUCKET",
        "ONPOINT_LOCAL_ALERT_WEBHOOK",
        "ONPOINT_HEALTH_SERVICES",
        MARK,
        HTTP_PORT,
    }
)
"""Settings that the stack decides; services do not get them from the caller."""


def overrides_from(environ: Mapping[str, str]) -> dict[str, str]:
    """The caller's `ONPOINT_*` settings for the services.

    Folders and files become absolute, as services run in another one.
    """
    found: dict[str, str] = {}
    for name, value in environ.items():
        if not name.startswith("ONPOINT_") or name in OWN_SETTINGS or name.startswith("ONPOINT_PORT_"):
            continue
        found[name] = str(Path(value).absolute()) if name.endswith(("_DIR", "_FILE")) and value else value
    return found


def client_environment(home: Home, config: StackConfig, credentials: Credentials) -> dict[str, str]:
    """What `onpoint env` prints: enough for the console, psql, duckdb and any S3 or Kafka client."""
    ports = config.ports
    s3 = f"http://{HOST}:{ports.s3}"
    address = f"{HOST}:{ports.postgres}/{POSTGRES_DATABASE}"
    found = {
        "ONPOINT_HOME": str(home.path),
        "ONPOINT_KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{ports.kafka}",
        "ONPOINT_POSTGRES_DSN": f"postgresql://{POSTGRES_USER}:{credentials.postgres_password}@{address}",
        "ONPOINT_S3_ENDPOINT_URL": s3,
        "ONPOINT_STAGING_BUCKET": config.staging_bucket,
        "ONPOINT_LAKE_BUCKET": config.lake_bucket,
        "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
        "AWS_REGION": S3_REGION,
        "AWS_ENDPOINT_URL_S3": s3,
        "PGHOST": HOST,
        "PGPORT": str(ports.postgres),
        "PGUSER": POSTGRES_USER,
        "PGPASSWORD": credentials.postgres_password,
        "PGDATABASE": POSTGRES_DATABASE,
    }
    found["ONPOINT_HEALTH_SERVICES"] = ",".join(
        f"{name}=http://{HOST}:{ports.of(name)}" for name in health_services(config)
    )
    if config.connect_plugins is not None:
        found |= {
            "ONPOINT_CDC_CONNECT_URL": f"http://{HOST}:{ports.kafka_connect}",
            "ONPOINT_CDC_SECRETS_DIR": str(connect_secrets(home)),
        }
    return found


def health_services(config: StackConfig) -> tuple[str, ...]:
    """Those that a check of health asks."""
    return (*config.services, *((CDC_SINK,) if config.connect_plugins is not None else ()))


def connect_secrets(home: Home) -> Path:
    """The folder with the password of change capture's role."""
    return home.data / "connect-secrets"


def process_environment(
    name: str, home: Home, config: StackConfig, credentials: Credentials
) -> dict[str, str]:
    """The whole environment of a Python process of the stack.

    The stack's addresses win over the caller's settings, and no AWS setting of the caller is left: a
    profile or session token among them would sign requests to the local store.
    """
    base = ALLOCATORS | {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("AWS_", "ONPOINT_", "PG")) and key.lower() != "no_proxy"
    }
    direct = ",".join(
        filter(None, [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), HOST, "localhost"])
    )
    base |= {"no_proxy": direct, "NO_PROXY": direct, "PYTHONUNBUFFERED": "1"}
    base |= config.overrides
    base |= client_environment(home, config, credentials)
    base |= mark_of(home, name)
    if name in config.services or name == CDC_SINK:
        base[HTTP_PORT] = str(config.ports.of(name))
        if name == "processor" and config.dask_worker_ports:
            base[DASK_ADDRESS] = dask_address(config)
        if config.proxy_ports is not None:
            base |= _through(config.proxy_ports, base["ONPOINT_POSTGRES_DSN"], config)
    return base


def dask_address(config: StackConfig) -> str:
    """Of the scheduler of the stack's own cluster."""
    return f"tcp://{HOST}:{config.ports.dask}"


def _through(proxy: ProxyPorts, dsn: str, config: StackConfig) -> dict[str, str]:
    """The addresses of a proxy instead of the components' own."""
    s3 = f"http://{HOST}:{proxy.s3}"
    return {
        "ONPOINT_KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{proxy.kafka}",
        "ONPOINT_POSTGRES_DSN": dsn.replace(f"{HOST}:{config.ports.postgres}/", f"{HOST}:{proxy.postgres}/"),
        "ONPOINT_S3_ENDPOINT_URL": s3,
        "AWS_ENDPOINT_URL_S3": s3,
        "PGPORT": str(proxy.postgres),
    }


def component_environment(name: str, home: Home) -> dict[str, str]:
    """A small environment that settings of the caller (`PGDATA`, `KAFKA_OPTS`, …) cannot disturb."""
    inherited = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "JAVA_HOME") if key in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", **inherited, **mark_of(home, name)}


def mark_of(home: Home, name: str) -> dict[str, str]:
    """The variable by which a process of this home is known."""
    return {MARK: f"{home.identity}:{name}"}
