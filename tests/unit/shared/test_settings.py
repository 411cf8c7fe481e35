"""Wrong settings end the start with the variable's name, and never show a secret."""

import traceback
from pathlib import Path

import pytest

from services.s3sink.settings import SinkSettings
from shared.errors import ConfigurationError
from shared.settings.kafka import KafkaSettings
from shared.settings.model import Settings, load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.settings.process import ProcessSettings

DSN = "postgresql://u:hunter2@h/d"


def test_values_come_from_the_environment() -> None:
    settings = load_settings(
        PostgresSettings, {"ONPOINT_POSTGRES_DSN": DSN, "ONPOINT_POSTGRES_POOL_SIZE": "7"}
    )
    assert settings.postgres_dsn.get_secret_value() == DSN
    assert settings.postgres_pool_size == 7


def test_a_secret_can_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text(DSN + "\n")
    settings = load_settings(PostgresSettings, {"ONPOINT_POSTGRES_DSN_FILE": str(tmp_path / "dsn")})
    assert settings.postgres_dsn.get_secret_value() == DSN


def test_an_empty_variable_does_not_hide_its_file(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgresql://u:p@h/d")
    environment = {"ONPOINT_POSTGRES_DSN": "", "ONPOINT_POSTGRES_DSN_FILE": str(tmp_path / "dsn")}
    settings = load_settings(PostgresSettings, environment)
    assert settings.postgres_dsn.get_secret_value() == "postgresql://u:p@h/d"


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ONPOINT_POSTGRES_DSN_FILE"):
        load_settings(PostgresSettings, {"ONPOINT_POSTGRES_DSN_FILE": str(tmp_path / "dsn")})


def test_a_missing_variable_is_named_with_what_it_means() -> None:
    with pytest.raises(ConfigurationError, match=r"ONPOINT_KAFKA_BOOTSTRAP_SERVERS: .*host:port"):
        load_settings(KafkaSettings, {})


def test_an_empty_value_is_a_missing_one() -> None:
    with pytest.raises(ConfigurationError, match="ONPOINT_STAGING_BUCKET"):
        load_settings(ObjectStoreSettings, {"ONPOINT_STAGING_BUCKET": "", "ONPOINT_LAKE_BUCKET": "lake"})


@pytest.mark.parametrize("port", ["-1", "65536", "http", "1.5"])
def test_a_wrong_value_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="ONPOINT_HTTP_PORT"):
        load_settings(ProcessSettings, {"ONPOINT_HTTP_PORT": port})


def test_every_wrong_variable_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ProcessSettings, {"ONPOINT_HTTP_PORT": "x", "ONPOINT_LOG_LEVEL": "loud"})
    assert "ONPOINT_HTTP_PORT" in str(caught.value)
    assert "ONPOINT_LOG_LEVEL" in str(caught.value)


def test_a_secret_is_not_shown() -> None:
    environment = {"ONPOINT_POSTGRES_DSN": DSN, "ONPOINT_POSTGRES_POOL_SIZE": "x"}
    with pytest.raises(ConfigurationError) as caught:
        load_settings(PostgresSettings, environment)
    assert "hunter2" not in str(caught.value)
    good = load_settings(PostgresSettings, {"ONPOINT_POSTGRES_DSN": DSN})
    assert "hunter2" not in repr(good)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:hunter2/1@h:5432/d",
        "postgresql://u:12/hunter2@h:5432/d",
        "postgresql://u:hunter2#1@h/d",
        "postgresql://u:12#hunter2@h/d",
        "postgresql://u:hunter2?1@h/d",
        "postgresql://u:hunter2?a=1@h/d",
        "postgresql://u:a@hunter2@h:5432/d",
        "postgresql://u:hunter2[1@h/d",
        "postgresql://u:hunter2\u2100@h/d",
        "postgresql://u@h/d?password=1&hunter2",
        "postgresql:///u:hunter2@h/d",
        "postgresql://u:p@h,/d",
        "postgresql://h:[hunter2]/d",
    ],
)
def test_an_address_that_the_driver_would_misread_is_refused_and_not_shown(dsn: str) -> None:
    """The driver's own error names the piece of the password that it took for a port or a parameter."""
    with pytest.raises(
        ConfigurationError, match=r"ONPOINT_POSTGRES_DSN: .*write / \? # @ .* as %2F %3F"
    ) as caught:
        load_settings(PostgresSettings, {"ONPOINT_POSTGRES_DSN": dsn})
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("garbage", "is not a postgresql:// URL"),
        ("postgresql:u:hunter2@h/d", "is not a postgresql:// URL"),
        ("mysql://u:hunter2@h/d", "is not a postgresql:// URL"),
        ("hunter2://u@h/d", "is not a postgresql:// URL"),
        ("host=h password=hunter2", "is not a postgresql:// URL"),
        ("postgresql://u:p@h:hunter2/d", "the port is not a number"),
        ("postgresql:///d?host=h:hunter2", "the port is not a number"),
        ("postgresql:///d?host=h&port=hunter2", "the port is not a number"),
    ],
)
def test_an_address_is_refused_for_its_own_fault(dsn: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^ONPOINT_POSTGRES_DSN: {message}") as caught:
        load_settings(PostgresSettings, {"ONPOINT_POSTGRES_DSN": dsn})
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("model", "variable", "value", "message"),
    [
        (KafkaSettings, "ONPOINT_KAFKA_BOOTSTRAP_SERVERS", "", "is not set"),
        (ProcessSettings, "ONPOINT_HTTP_PORT", "http", "a whole number is expected"),
        (ProcessSettings, "ONPOINT_HTTP_PORT", "1.5", "a whole number is expected"),
        (ProcessSettings, "ONPOINT_HTTP_PORT", "65536", "must be at most 65,535"),
        (ProcessSettings, "ONPOINT_HTTP_PORT", "-1", "must be at least 0"),
        (ProcessSettings, "ONPOINT_LOG_LEVEL", "loud", "one of debug, info, warning, error is expected"),
    ],
)
def test_a_fault_is_reported_in_plain_words(
    model: type[Settings], variable: str, value: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(model, {variable: value})
    assert str(caught.value).startswith(f"{variable}: {message} (")


def test_a_fault_of_two_settings_names_them() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^ONPOINT_S3SINK_OBJECT_TARGET_BYTES must not be above ONPOINT"
    ):
        load_settings(
            SinkSettings,
            {
                "ONPOINT_S3SINK_OBJECT_TARGET_BYTES": "900000000",
                "ONPOINT_S3SINK_OBJECT_MAX_BYTES": "800000000",
            },
        )


BUCKETS = {"ONPOINT_STAGING_BUCKET": "staging", "ONPOINT_LAKE_BUCKET": "lake"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("127.0.0.1:28333", "must begin with http:// or https://"),
        ("ftp://s3", "must begin with http:// or https://"),
        ("http://", "must be an address"),
        ("http://s3:port", "must be an address"),
        ("http://s3:99999", "must be an address"),
        ("http://s 3", "must be an address"),
        ("http://s3?x", "must be an address"),
    ],
)
def test_an_object_store_at_no_address_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^ONPOINT_S3_ENDPOINT_URL: {message}"):
        load_settings(ObjectStoreSettings, {**BUCKETS, "ONPOINT_S3_ENDPOINT_URL": url})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8333", "https://s3.example.org/", "http://[::1]:8333/at"])
def test_an_object_store_has_an_address(url: str) -> None:
    assert (
        load_settings(ObjectStoreSettings, {**BUCKETS, "ONPOINT_S3_ENDPOINT_URL": url}).s3_endpoint_url == url
    )


@pytest.mark.parametrize(
    ("bucket", "message"),
    [("ab", "at least 3 characters"), ("a b c", "must be letters"), ("a/bc", "must be letters")],
)
def test_a_bucket_has_a_name(bucket: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ONPOINT_LAKE_BUCKET: .*{message}"):
        load_settings(ObjectStoreSettings, {**BUCKETS, "ONPOINT_LAKE_BUCKET": bucket})


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:hunter2%2F%3F%23%40@h:5432/d",
        "postgres://u:a:b=c&d+e!$*();'@h/d",
        "postgresql://u@h",
        "postgresql://h/d",
        "postgresql://h/d%40x",
        "postgresql://u:p@h/a@b",
        "postgresql://",
        "postgresql:///d",
        "postgresql://u:p@/d",
        "postgresql://u:p@h1:5432,h2,[::1]:5433/d?target_session_attrs=read-write",
        "postgresql://u:p@[fe80::1]/d",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/d",
        "postgresql:///d?host=/var/run/postgresql&port=5433&user=u@realm&password=p@w",
        "postgresql:///d?host=h1:5432,h2",
        "postgresql:///d?service=mine",
        "postgresql://u:p@h:/d?sslmode=verify-full&sslrootcert=/etc/ca.pem&application_name=a@b",
    ],
)
def test_every_address_that_the_driver_understands_is_accepted(dsn: str) -> None:
    settings = load_settings(PostgresSettings, {"ONPOINT_POSTGRES_DSN": dsn})
    assert settings.postgres_dsn.get_secret_value() == dsn


def test_no_value_is_in_the_error_behind_the_error() -> None:
    """A traceback shows the whole chain of errors."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(ObjectStoreSettings, {"ONPOINT_S3_CREDENTIALS": "hunter2"})
    assert "hunter2" not in str(caught.value.__cause__)


BUCKETS = {"ONPOINT_STAGING_BUCKET": "staging", "ONPOINT_LAKE_BUCKET": "lake"}


def test_the_object_stores_credentials_can_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "s3").write_text("KEY:hunter2:with/colon\n")
    file = {"ONPOINT_S3_CREDENTIALS_FILE": str(tmp_path / "s3")}
    assert load_settings(ObjectStoreSettings, BUCKETS | file).s3_keys() == ("KEY", "hunter2:with/colon")


def test_without_credentials_the_standard_chain_counts() -> None:
    assert load_settings(ObjectStoreSettings, BUCKETS).s3_keys() is None


@pytest.mark.parametrize("text", ["hunter2", ":hunter2", "hunter2:"])
def test_half_a_credential_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ONPOINT_S3_CREDENTIALS: .*colon") as caught:
        load_settings(ObjectStoreSettings, {**BUCKETS, "ONPOINT_S3_CREDENTIALS": text})
    assert "hunter2" not in str(caught.value)
