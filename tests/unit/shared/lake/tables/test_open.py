"""Which table a dataset has, by its file and the settings; what is told where a driver or the store is not there."""

import sys

import pytest
from pydantic import SecretStr

from shared.errors import ConfigurationError
from shared.lake.tables.errors import TableUnavailableError
from shared.lake.tables.open import DRIVERS, LakeTables, lacking_driver, require_drivers
from shared.lake.tables.settings import TableSettings
from shared.settings.object_store import ObjectStoreSettings
from shared.storage.object_store import open_s3
from tests.support.sink import POSTS
from tests.support.tables import FORMATS, posts

CLOSED = "http://127.0.0.1:9"


def tables() -> LakeTables:
    storage = ObjectStoreSettings(
        s3_endpoint_url=CLOSED,
        staging_bucket="staging",
        lake_bucket="lake",
        s3_credentials=SecretStr("the-key-id:the-secret"),
    )
    dsn = "postgresql://someone:the-password@127.0.0.1:9/nothing"
    return LakeTables(storage, open_s3(storage, "lake"), TableSettings(), dsn)


def test_a_dataset_without_a_table_format_has_no_table_and_needs_no_driver() -> None:
    assert tables().of(POSTS) is None
    require_drivers([POSTS])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_driver_that_is_not_installed_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    dataset = posts(kind)
    assert lacking_driver(dataset) is None
    monkeypatch.setitem(sys.modules, DRIVERS[kind], None)  # type: ignore[index]
    with pytest.raises(
        ConfigurationError, match=rf"dataset posts: lake.table is {kind}, .*onpoint\[table-formats\]"
    ):
        require_drivers([POSTS, dataset])
    with pytest.raises(ConfigurationError, match="is not installed"):
        tables().of(dataset)


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_away_is_an_outage_by_its_address_and_without_a_secret(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:11")
    table = tables().of(posts(kind))
    assert table is not None
    with pytest.raises(TableUnavailableError) as caught:
        table.state()
    text = str(caught.value)
    assert "s3://lake/posts" in text
    assert text.isprintable()
    assert ("127.0.0.1:9" if kind == "delta" else "port 9") in text
    assert not any(secret in text for secret in ("the-secret", "the-password"))


@pytest.mark.parametrize("secret", ["iceberg_catalog_token", "iceberg_catalog_credential"])
def test_a_secret_of_the_catalog_is_not_sent_in_the_clear(secret: str) -> None:
    for uri in ("https://catalog.example/api", "http://127.0.0.1:8181"):
        TableSettings.model_validate({"iceberg_catalog_uri": uri, secret: "id:secret"})
    with pytest.raises(ValueError, match="must begin with https://"):
        TableSettings.model_validate(
            {"iceberg_catalog_uri": "http://catalog.example/api", secret: "id:secret"}
        )
    with pytest.raises(ValueError, match="ONPOINT_ICEBERG_CATALOG_URI is not set"):
        TableSettings.model_validate({secret: "id:secret"})
