"""Where the settings come from: the environment, or else the local stack that runs in this checkout."""

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field

from console.errors import WrongUseError
from deploy.local.config import StackConfig
from deploy.local.credentials import load_or_create
from deploy.local.environment import client_environment
from deploy.local.home import Home
from deploy.local.state import running_state
from shared.errors import ConfigurationError
from shared.events.ids import is_dataset_name
from shared.settings.datasets import DatasetSettings
from shared.settings.model import Settings, load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresDsn, PostgresSettings

if TYPE_CHECKING:
    from shared.datasets.catalog import Catalog
    from shared.storage.object_store import ObjectStore

ADDRESSES = ("ONPOINT_KAFKA_BOOTSTRAP_SERVERS", "ONPOINT_POSTGRES_DSN", "ONPOINT_S3_ENDPOINT_URL")
"""Whoever sets one of these means a certain installation, and the local stack is left out of it altogether."""

NO_STACK = (
    "no stack is running here: start one with `onpoint up`, or set ONPOINT_KAFKA_BOOTSTRAP_SERVERS and "
    "ONPOINT_POSTGRES_DSN to use another"
)

_S = TypeVar("_S", bound=Settings)


class ViewerSettings(Settings):
    """What the command line shows more with, and can do without."""

    postgres_dsn: Annotated[PostgresDsn | None, Field(description="where the run ledger is")] = None
    lake_bucket: Annotated[str | None, Field(description="bucket of the data lake")] = None


def settings(model: type[_S]) -> _S:
    """The settings of this command.

    Raises `ConfigurationError` that names what is wrong, `WrongUseError` where there is no installation at all.
    """
    environment = find()
    if not is_addressed(environment):
        raise WrongUseError(NO_STACK)
    return load_settings(model, environment)


def ledger_dsn() -> str:
    """The address of the run ledger. Raises as `settings`."""
    return settings(PostgresSettings).postgres_dsn.get_secret_value()


def catalog() -> "Catalog":
    """The datasets, as the services know them; files that cannot be used are in it, too.

    Raises `ConfigurationError` if there is no folder of them.
    """
    from shared.datasets.catalog import load_catalog

    environment = find()
    return load_catalog(load_settings(DatasetSettings, environment).datasets_dir, environment)


def table_of(dataset: str) -> str:
    """The table of a dataset, or the usual name of one where no file says: nothing else depends on it.

    Looks first into the file that has the dataset's name, so that of many files one is read.
    """
    import yaml

    from shared.datasets.catalog import BUILT_IN

    with contextlib.suppress(ConfigurationError):
        for folder in (BUILT_IN, load_settings(DatasetSettings, find()).datasets_dir):
            if folder is None:
                continue
            with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
                found = yaml.safe_load((folder / f"{dataset}.yaml").read_text(encoding="utf-8"))
                if isinstance(found, dict) and found.get("name") == dataset:
                    table = str(found.get("table"))
                    return table if is_dataset_name(table) else f"onpoint_{dataset}"
        if dataset in (known := catalog()):
            return known[dataset].table
    return f"onpoint_{dataset}"


def lake_bucket() -> str | None:
    return load_settings(ViewerSettings, find()).lake_bucket


def postgres_dsn() -> str | None:
    dsn = load_settings(ViewerSettings, find()).postgres_dsn
    return dsn.get_secret_value() if dsn else None


def staging() -> "ObjectStore":
    """The bucket of batches in flight. Does not connect.

    Raises `ConfigurationError` that names the settings that are missing.
    """
    from shared.storage.object_store import open_s3

    found = settings(ObjectStoreSettings)
    use_credentials()
    return open_s3(found, found.staging_bucket)


def use_credentials() -> None:
    """The drivers take them by the standard chain, which looks into this process's environment."""
    os.environ.update({name: value for name, value in find().items() if name.startswith("AWS_")})


def psql() -> str:
    """How to call psql from the shell of whoever reads this."""
    if os.environ.get("PGDATABASE"):
        return "psql"
    return 'psql "$ONPOINT_POSTGRES_DSN"' if is_addressed(os.environ) else 'eval "$(onpoint env)"; psql'


def find(environ: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The environment, with the running local stack's settings where it names no installation of its own."""
    environ = os.environ if environ is None else environ
    if is_addressed(environ):
        return environ
    return {**environ, **_of_running_stack(environ)}


def is_addressed(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) or environ.get(f"{name}_FILE") for name in ADDRESSES)


def _of_running_stack(environ: Mapping[str, str]) -> dict[str, str]:
    home = Home.from_environment(environ)
    if running_state(home) is None:
        return {}
    config = StackConfig.load(home)
    return {**config.overrides, **client_environment(home, config, load_or_create(home))}
