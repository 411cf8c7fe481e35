from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints

from shared.settings.model import Settings
from shared.settings.object_store import Endpoint

Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class TableSettings(Settings):
    iceberg_catalog_uri: Annotated[
        Endpoint | None,
        Field(description="URL of Iceberg's REST catalog; absent: the catalog is in PostgreSQL"),
    ] = None
    iceberg_catalog_token: Annotated[
        SecretStr | None, Field(description="bearer token of the REST catalog; absent: none is sent")
    ] = None
    iceberg_catalog_warehouse: Annotated[
        str | None,
        Field(min_length=1, max_length=500, description="warehouse of the REST catalog; absent: its own"),
    ] = None
    iceberg_namespace: Annotated[Namespace, Field(description="namespace of the tables in the catalog")] = (
        "onpoint"
    )
