"""The settings of the connection to Kafka: what belongs together, and what each mistake is called."""

from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings

SERVERS = {"ONPOINT_KAFKA_BOOTSTRAP_SERVERS": "kafka.example.org:9093"}

OAUTH = {
    "SECURITY_PROTOCOL": "SASL_SSL",
    "SASL_MECHANISM": "OAUTHBEARER",
    "SASL_USERNAME": "loader",
    "SASL_PASSWORD": "s3cret",
    "OAUTH_TOKEN_URL": "https://login.example.org/token",
}


def test_without_more_settings_there_is_neither_tls_nor_a_login() -> None:
    settings = load_settings(KafkaSettings, SERVERS)

    assert not settings.kafka_uses_tls
    assert not settings.kafka_uses_sasl


def test_the_password_may_be_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    settings = load_settings(
        KafkaSettings,
        {
            **SERVERS,
            "ONPOINT_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "ONPOINT_KAFKA_SASL_USERNAME": "loader",
            "ONPOINT_KAFKA_SASL_PASSWORD_FILE": str(tmp_path / "password"),
        },
    )

    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == "s3cret"
    assert settings.kafka_sasl_mechanism == "SCRAM-SHA-512"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "ONPOINT_KAFKA_SECURITY_PROTOCOL"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_PASSWORD": "p"}, "ONPOINT_KAFKA_SASL_USERNAME"),
        ({"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_USERNAME": "u"}, "ONPOINT_KAFKA_SASL_PASSWORD"),
        ({"SASL_MECHANISM": "GSSAPI"}, "ONPOINT_KAFKA_SASL_MECHANISM"),
        ({**OAUTH, "OAUTH_TOKEN_URL": ""}, "ONPOINT_KAFKA_OAUTH_TOKEN_URL"),
        ({**OAUTH, "SASL_PASSWORD": ""}, "ONPOINT_KAFKA_SASL_PASSWORD"),
        ({"SSL_CERT_FILE": "client.pem"}, "ONPOINT_KAFKA_SSL_KEY_FILE"),
        ({"SSL_KEY_FILE": "client.key"}, "ONPOINT_KAFKA_SSL_KEY_FILE"),
    ],
)
def test_a_mistake_is_named_by_its_variable(environment: dict[str, str], named: str) -> None:
    variables = {f"ONPOINT_KAFKA_{name}": value for name, value in environment.items()}
    with pytest.raises(ConfigurationError, match=f"(?m)^{named}: "):
        load_settings(KafkaSettings, {**SERVERS, **variables})


def with_token_url(url: str) -> KafkaSettings:
    variables = {f"ONPOINT_KAFKA_{name}": value for name, value in {**OAUTH, "OAUTH_TOKEN_URL": url}.items()}
    return load_settings(KafkaSettings, {**SERVERS, **variables})


@pytest.mark.parametrize(
    "url",
    [
        "https://login.example.org/tenant/oauth2/v2.0/token?version=2",
        "http://localhost:8080/token",
        "http://127.0.0.2/token",
        "http://[::1]:8080/token",
    ],
)
def test_tokens_come_over_https_or_from_this_machine(url: str) -> None:
    assert with_token_url(url).kafka_oauth_token_url == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://login.example.org/token", "must begin with https://, or lead to this machine"),
        ("http://localhost.example.org/token", "must begin with https://, or lead to this machine"),
        ("http://10.0.0.1/token", "must begin with https://, or lead to this machine"),
        ("ftp://localhost/token", "must begin with https://, or lead to this machine"),
        ("https://loader:s3cret@login.example.org/token", "must have no user, password or fragment"),
        ("https://login.example.org/token#s3cret", "must have no user, password or fragment"),
        ("login.example.org", "is no address"),
        ("https:///token", "is no address"),
        ("https://login.example.org:s3cret/", "is no address"),
        ("https://login.example.org/to ken", "is no address"),
        ("https://[::1/token", "is no address"),
    ],
)
def test_another_address_of_tokens_is_refused_and_not_shown(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^ONPOINT_KAFKA_OAUTH_TOKEN_URL: {fault} ") as caught:
        with_token_url(url)
    assert "s3cret" not in str(caught.value)
