from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, StringConstraints, model_validator

from shared.settings.loopback import is_loopback
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
    iceberg_catalog_credential: Annotated[
        SecretStr | None,
        Field(description="client id:secret for OAuth2 at the REST catalog; absent: the token, or none"),
    ] = None
    iceberg_catalog_warehouse: Annotated[
        str | None,
        Field(min_length=1, max_length=500, description="warehouse of the REST catalog; absent: its own"),
    ] = None
    iceberg_namespace: Annotated[Namespace, Field(description="namespace of the tables in the catalog")] = (
        "onpoint"
    )

    @model_validator(mode="after")
    def secrets_are_not_sent_in_the_clear(self) -> Self:
        parts = urlsplit(self.iceberg_catalog_uri or "")
        has_secret = self.iceberg_catalog_token is not None or self.iceberg_catalog_credential is not None
        if has_secret and self.iceberg_catalog_uri is None:
            raise ValueError("ONPOINT_ICEBERG_CATALOG_URI is not set, and there is a secret for it")
        if has_secret and parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError(
                "ONPOINT_ICEBERG_CATALOG_URI must begin with https:// where a secret is sent to it"
            )
        return self
