"""What the connector gets of an installation's settings."""

from console.cli.cdc.registration import CONNECTOR_FILE
from console.client.cdc.register import connector_config
from console.client.cdc.source import Table
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings

SIGNALS = "signal.consumer."
SECRET = "not-for-connectors"  # noqa: S105 - a test's own


def config(**settings: str) -> dict[str, str]:
    environment = {f"ONPOINT_KAFKA_{name.upper()}": value for name, value in settings.items()}
    kafka = load_settings(KafkaSettings, {"ONPOINT_KAFKA_BOOTSTRAP_SERVERS": "broker:9092", **environment})
    return connector_config(
        CONNECTOR_FILE,
        dsn="postgresql://owner:own@db.example.org:6432/warehouse",
        tables=[Table("public", "onpoint_posts")],
        kafka=kafka,
        secrets_dir="/secrets",
        replication=3,
    )


def signals(found: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix(SIGNALS): value for name, value in found.items() if name.startswith(SIGNALS)}


def test_brokers_without_tls_and_login_need_nothing_more() -> None:
    found = config()

    assert found["signal.kafka.bootstrap.servers"] == "broker:9092"
    assert signals(found) == {}


def test_the_consumer_of_signals_logs_in_by_a_secret_of_connect() -> None:
    found = config(
        security_protocol="SASL_SSL",
        sasl_username="operator",
        sasl_password=SECRET,
        ssl_ca_file="/etc/ca.pem",
    )

    assert signals(found) == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": "${dir:/secrets:kafka_jaas}",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": "/secrets/kafka_ca.pem",
    }


def test_no_password_is_in_the_configuration() -> None:
    found = config(security_protocol="SASL_PLAINTEXT", sasl_username="operator", sasl_password=SECRET)

    assert [name for name, value in found.items() if SECRET in value or "own" in value.split(":")] == []
