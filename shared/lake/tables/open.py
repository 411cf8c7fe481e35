"""The table of a dataset, by its `lake.table` and the settings. The drivers are imported when the first one is needed."""

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

from shared.datasets.lake import TableKind
from shared.datasets.model import Dataset
from shared.errors import ConfigurationError
from shared.lake.tables.port import LakeTable
from shared.lake.tables.settings import TableSettings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import ObjectStore

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

DRIVERS: Mapping[TableKind, str] = {"delta": "deltalake", "iceberg": "pyiceberg"}

FOLDERS: Mapping[TableKind, str] = {"delta": "_delta_log", "iceberg": "metadata"}
"""Of a dataset, where its table's own files are."""

SCHEMA = "onpoint_lake"
"""Of PostgreSQL: it has the tables of Iceberg's catalog."""

CONNECT_TIMEOUT_S = 5
CALL_TIMEOUT_S = 60


def lacking_driver(dataset: Dataset) -> str | None:
    """A sentence where the driver of the dataset's table format is not installed. Imports nothing."""
    return None if dataset.lake.table is None else _lacking(dataset.lake.table)


def _lacking(kind: TableKind) -> str | None:
    if find_spec(DRIVERS[kind]) is not None:
        return None
    return (
        f"lake.table is {kind}, and its driver {DRIVERS[kind]} is not installed: "
        "python -m pip install 'onpoint[table-formats]'"
    )


def require_drivers(datasets: Iterable[Dataset]) -> None:
    """Raises `ConfigurationError` for a dataset whose table format has no driver here."""
    for dataset in datasets:
        if (fault := lacking_driver(dataset)) is not None:
            raise ConfigurationError(f"dataset {dataset.name}: {fault}")


class LakeTables:
    """Connects when a table is used. Safe for threads."""

    def __init__(
        self, storage: ObjectStoreSettings, lake: ObjectStore, settings: TableSettings, postgres_dsn: str
    ) -> None:
        self._storage = storage
        self._lake = lake
        self._settings = settings
        self._postgres_dsn = postgres_dsn

    def of(self, dataset: Dataset) -> LakeTable | None:
        """None: the dataset has none. Raises `ConfigurationError` where the driver is not installed."""
        return None if dataset.lake.table is None else self.named(dataset.lake.table, dataset.name)

    def named(self, kind: TableKind, dataset: str) -> LakeTable:
        """The dataset's table of this format. Raises as `of`."""
        if (fault := _lacking(kind)) is not None:
            raise ConfigurationError(f"dataset {dataset}: {fault}")
        location = self._lake.uri(dataset)
        if kind == "delta":
            from shared.lake.tables.delta import DeltaLakeTable  # noqa: PLC0415 - an extra

            return DeltaLakeTable(location, delta_options(self._storage))
        from shared.lake.tables.iceberg import IcebergTable  # noqa: PLC0415 - an extra

        return IcebergTable(lambda: self._catalog, (self._settings.iceberg_namespace, dataset), location)

    async def existing(self, dataset: str) -> dict[TableKind, LakeTable]:
        """Those that have begun in the dataset's folder, whatever its file says today. One request."""
        folders = await self._lake.folders(f"{dataset}/")
        return {kind: self.named(kind, dataset) for kind, folder in FOLDERS.items() if folder in folders}

    @cached_property
    def _catalog(self) -> "Catalog":
        return open_catalog(self._settings, self._postgres_dsn, iceberg_options(self._storage))


def open_catalog(settings: TableSettings, postgres_dsn: str, files: dict[str, str]) -> "Catalog":
    """Iceberg's catalog: REST where the settings name one, else two tables of PostgreSQL. Connects."""
    if settings.iceberg_catalog_uri is None:
        import sqlalchemy  # noqa: PLC0415 - an extra
        from pyiceberg.catalog.sql import SqlCatalog  # noqa: PLC0415 - an extra

        address = sqlalchemy.make_url(postgres_dsn).set(drivername="postgresql+psycopg2")
        options = {"options": f"-csearch_path={SCHEMA}", "connect_timeout": str(CONNECT_TIMEOUT_S)}
        uri = address.update_query_dict(options).render_as_string(hide_password=False)
        # The tables come with the migrations, so that the services' role needs no right to make some.
        return SqlCatalog("onpoint", uri=uri, pool_pre_ping="true", init_catalog_tables="false", **files)
    from pyiceberg.catalog.rest import RestCatalog  # noqa: PLC0415 - an extra

    # Markers are looked for in all snapshots, not in those alone that a branch names.
    named: dict[str, str] = {"uri": settings.iceberg_catalog_uri, "snapshot-loading-mode": "all"}
    if settings.iceberg_catalog_token is not None:
        named["token"] = settings.iceberg_catalog_token.get_secret_value()
    if settings.iceberg_catalog_credential is not None:
        named["credential"] = settings.iceberg_catalog_credential.get_secret_value()
    if settings.iceberg_catalog_warehouse is not None:
        named["warehouse"] = settings.iceberg_catalog_warehouse
    return RestCatalog("onpoint", **named, **files)


def delta_options(storage: ObjectStoreSettings) -> dict[str, str]:
    options = {
        # The object store refuses the second of two commits of one version.
        "conditional_put": "etag",
        "connect_timeout": f"{CONNECT_TIMEOUT_S}s",
        "timeout": f"{CALL_TIMEOUT_S}s",
        "max_retries": "3",
        "retry_timeout": "20s",
    }
    if storage.s3_endpoint_url is not None:
        options |= {
            # This spelling wins over an AWS_ENDPOINT_URL_S3 in the environment.
            "aws_endpoint_url_s3": storage.s3_endpoint_url,
            "aws_allow_http": str(storage.s3_endpoint_url.startswith("http://")).lower(),
            "aws_virtual_hosted_style_request": "false",
        }
    if (keys := storage.s3_keys()) is not None:
        options["aws_access_key_id"], options["aws_secret_access_key"] = keys
    if (region := _region(storage)) is not None:
        options["aws_region"] = region
    return options


def iceberg_options(storage: ObjectStoreSettings) -> dict[str, str]:
    options = {"s3.connect-timeout": str(CONNECT_TIMEOUT_S), "s3.request-timeout": str(CALL_TIMEOUT_S)}
    if storage.s3_endpoint_url is not None:
        options["s3.endpoint"] = storage.s3_endpoint_url
    if (keys := storage.s3_keys()) is not None:
        options["s3.access-key-id"], options["s3.secret-access-key"] = keys
    if (region := _region(storage)) is not None:
        options["s3.region"] = region
    return options


def _region(storage: ObjectStoreSettings) -> str | None:
    """A server of one's own has none, and the drivers would ask AWS for it."""
    found = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return found or ("us-east-1" if storage.s3_endpoint_url is not None else None)
