"""Where the settings come from: the environment, or else the local stack that runs in this checkout."""

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from console.cli.errors import WrongUseError
from console.cli.stack import running
from shared.errors import ConfigurationError
from shared.events.ids import is_dataset_name
from shared.settings.dsn import fault_of
from shared.settings.variables import read_setting, variable_of

if TYPE_CHECKING:
    from console.client.pending_migrations import PendingMigrations
    from console.verify.process_usage import ServiceProcess
    from shared.bus.kafka import KafkaClients
    from shared.datasets.catalog import Catalog
    from shared.lake.tables.open import LakeTables
    from shared.settings.model import Settings
    from shared.storage.object_store import ObjectStore

ADDRESSES = ("ONPOINT_KAFKA_BOOTSTRAP_SERVERS", "ONPOINT_POSTGRES_DSN", "ONPOINT_S3_ENDPOINT_URL")
"""If one of these is set, an installation is named, and no setting comes from the local stack."""

NO_STACK = (
    "no stack is running here: start one with `onpoint up`, or set ONPOINT_KAFKA_BOOTSTRAP_SERVERS and "
    "ONPOINT_POSTGRES_DSN to use another"
)

CLIENT_ID = "onpoint-console"

_S = TypeVar("_S", bound="Settings")


def settings(model: type[_S]) -> _S:
    """The settings of this command.

    Raises `ConfigurationError` that names what is wrong, `WrongUseError` where no installation is named and no stack runs.
    """
    from shared.settings.model import load_settings

    return load_settings(model, _of_installation())


def ledger_dsn() -> str:
    """The address of the run ledger. Raises as `settings`, and reads this one setting without its model, which takes
    longer to import than the ledger to answer.
    """
    if dsn := _dsn(_of_installation()):
        return dsn
    raise ConfigurationError(f"{variable_of('postgres_dsn')} is not set: it is the address of the run ledger")


def bootstrap_servers() -> str:
    """The brokers' addresses, comma-separated. Raises and reads as `ledger_dsn`."""
    if servers := read_setting("kafka_bootstrap_servers", _of_installation()):
        return servers
    raise ConfigurationError(
        f"{variable_of('kafka_bootstrap_servers')} is not set: it names host:port of one or more brokers"
    )


def kafka() -> "KafkaClients":
    """What builds this command's Kafka clients. Raises as `settings`."""
    from shared.bus.kafka import KafkaClients
    from shared.settings.kafka import KafkaSettings

    bootstrap_servers()
    return KafkaClients(settings(KafkaSettings), CLIENT_ID)


def postgres_dsn() -> str | None:
    """As `ledger_dsn`, None where the installation names no database."""
    return _dsn(find())


def lake_bucket() -> str | None:
    """The bucket of the lake, None where the installation names none."""
    return read_setting("lake_bucket", find())


def catalog() -> "Catalog":
    """The datasets, as the services know them; files that cannot be used are in it, too.

    Raises `ConfigurationError` if their folder does not exist.
    """
    from shared.datasets.catalog import load_catalog
    from shared.settings.datasets import DatasetSettings
    from shared.settings.model import load_settings

    environment = find()
    return load_catalog(load_settings(DatasetSettings, environment).datasets_dir, environment)


def table_of(dataset: str) -> str:
    """The table of a dataset, or the usual name of one where no file names it: for display only.

    The file that has the dataset's name is read first, so that of many files one is read.
    """
    from shared.datasets.built_in import BUILT_IN
    from shared.datasets.document import DocumentError, read_document

    with contextlib.suppress(ConfigurationError):
        own = read_setting("datasets_dir", find())
        for folder in (BUILT_IN, *([Path(own)] if own else ())):
            with contextlib.suppress(OSError, DocumentError):
                found, _ = read_document((folder / f"{dataset}.yaml").read_bytes())
                if found.get("name") == dataset:
                    table = str(found.get("table"))
                    return table if is_dataset_name(table) else f"onpoint_{dataset}"
        if dataset in (known := catalog()):
            return known[dataset].table
    return f"onpoint_{dataset}"


def staging() -> "ObjectStore":
    """The bucket of batches in flight. Does not connect.

    Raises `ConfigurationError` that names the settings that are missing.
    """
    from shared.settings.object_store import ObjectStoreSettings
    from shared.storage.object_store import open_s3

    found = settings(ObjectStoreSettings)
    use_credentials()
    return open_s3(found, found.staging_bucket)


def lake() -> "ObjectStore":
    """The bucket of the lake. Does not connect. Raises as `staging`."""
    from shared.settings.object_store import ObjectStoreSettings
    from shared.storage.object_store import open_s3

    found = settings(ObjectStoreSettings)
    use_credentials()
    return open_s3(found, found.lake_bucket)


def lake_tables() -> "LakeTables":
    """The tables of datasets with a table format. Does not connect. Raises as `staging`."""
    from shared.lake.tables.open import LakeTables
    from shared.lake.tables.settings import TableSettings
    from shared.settings.object_store import ObjectStoreSettings

    return LakeTables(settings(ObjectStoreSettings), lake(), settings(TableSettings), ledger_dsn())


def pending_migrations() -> "PendingMigrations | None":
    """None where no settings name the object store: then it is not known what a run was frozen with."""
    from console.client.pending_migrations import PendingMigrations
    from shared.datasets.frozen import RunDatasets

    try:
        return PendingMigrations(RunDatasets(staging(), catalog))
    except ConfigurationError:
        return None


def require_same_datasets(asked: Collection[str]) -> None:
    """Raises `WrongUseError` where the running stack does not know a dataset that the caller's own folder may have.

    `asked`: names of datasets; none: all of them.
    """
    from shared.datasets.catalog import load_catalog

    own = read_setting("datasets_dir", os.environ)
    stack = running.client_settings(os.environ)
    if own is None or stack is None or not _leads_to(stack.addresses):
        return
    folder = stack.overrides.get(variable_of("datasets_dir")) or None
    if folder == str(Path(own).absolute()):
        return
    known = load_catalog(Path(folder) if folder else None, stack.overrides)
    if not asked or not set(asked) <= set(known):
        raise WrongUseError(
            f"the running stack was started with another {variable_of('datasets_dir')} ({folder or 'none'}): "
            "`onpoint down`, then `onpoint up`"
        )


def _leads_to(addresses: Mapping[str, str]) -> bool:
    """Whether the caller's environment names no other installation."""
    servers = os.environ.get(ADDRESSES[0])
    return not is_addressed(os.environ) or servers == addresses.get(ADDRESSES[0])


def use_credentials() -> None:
    """Puts them into this process's environment, from which the drivers' standard chain takes them."""
    os.environ.update({name: value for name, value in find().items() if name.startswith("AWS_")})


def service_processes() -> "list[ServiceProcess]":
    """The services of the local stack. Raises `WrongUseError` where none runs."""
    return running.service_processes(os.environ)


def psql() -> str:
    """The command that opens the database from the user's shell."""
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


def _of_installation() -> Mapping[str, str]:
    environment = find()
    if not is_addressed(environment):
        raise WrongUseError(NO_STACK)
    return environment


def _dsn(environment: Mapping[str, str]) -> str | None:
    dsn = read_setting("postgres_dsn", environment)
    if dsn is not None and (fault := fault_of(dsn)) is not None:
        raise ConfigurationError(f"{variable_of('postgres_dsn')}: {fault}")
    return dsn


def _of_running_stack(environ: Mapping[str, str]) -> dict[str, str]:
    found = running.client_settings(environ)
    return {**found.overrides, **found.addresses} if found else {}
