"""The options of one start of the stack, stored in the home, so that the supervisor and later commands agree."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.local.errors import NotRunningError
from deploy.local.home import Home, write_private
from deploy.local.ports import Ports
from deploy.local.postgres_versions import DEFAULT
from deploy.local.process_id import ProcessId


class ProxyPorts(BaseModel):
    """Ports on which a proxy of the caller's listens: the services reach the components through it, all others
    directly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka: int
    kafka_behind: int
    """Where the broker listens for the proxy. A client goes on to the address that its broker names, so this
    listener names the proxy's."""
    postgres: int
    s3: int


class Observation(BaseModel):
    """What watches the stack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prometheus: Path
    alertmanager: Path
    time_scale: float = Field(default=1.0, gt=0, le=1)
    """By which every time of the rules, scrapes and routes is multiplied; below 1 only where alerts are tried."""
    webhook_url: str | None = Field(default=None, repr=False)
    """Where Alertmanager sends what it routes; None: alerts are only shown."""


class StackConfig(BaseModel):
    """Everything the supervisor needs, decided before it starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ports: Ports
    services: tuple[str, ...]
    staging_bucket: str
    lake_bucket: str
    overrides: dict[str, str] = Field(repr=False)
    """The caller's own `ONPOINT_*` settings, which a restarted service gets again."""
    java: Path
    weed: Path
    kafka_jars: Path
    postgres_programs: Path
    postgres_version: str = DEFAULT
    hang_s: float = Field(gt=0)
    """Seconds without an answer of /livez after which a service that was ready is restarted."""
    parent: ProcessId | None = None
    """The stack ends with this process."""
    proxy_ports: ProxyPorts | None = None
    connect_plugins: Path | None = None
    """Folder with Debezium's connector; None: the stack captures no changes."""
    observe: Observation | None = None
    """Prometheus and Alertmanager beside the stack; None: nothing watches it."""
    dask_worker_ports: tuple[int, ...] = ()
    """Of /readyz, one for each worker of the stack's own Dask cluster; none: it has no cluster."""

    def save(self, home: Home) -> None:
        write_private(home.config_file, self.model_dump_json(indent=2))

    @classmethod
    def load(cls, home: Home) -> "StackConfig":
        """The options of the home's last start. Raises `NotRunningError` if there was none."""
        config = cls.find(home)
        if config is None:
            raise NotRunningError(f"{home.path} has no stack: start one with `onpoint up`")
        return config

    @classmethod
    def find(cls, home: Home) -> "StackConfig | None":
        """As `load`, None instead of an error."""
        try:
            return cls.model_validate_json(home.config_file.read_text())
        except (OSError, ValidationError):
            return None
