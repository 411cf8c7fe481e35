"""The factory of Kafka clients: files that cannot be used are named before anything connects."""

from pathlib import Path

import pytest

from shared.bus.kafka import KafkaClients
from shared.errors import ConfigurationError
from shared.settings.kafka import KafkaSettings


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    settings = KafkaSettings(
        kafka_bootstrap_servers="127.0.0.1:1", kafka_security_protocol="SSL", kafka_ssl_ca_file=str(file)
    )
    with pytest.raises(ConfigurationError, match=f"^ONPOINT_KAFKA_SSL_CA_FILE: {file} cannot be used: "):
        KafkaClients(settings, "test")


def test_a_client_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    settings = KafkaSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_security_protocol="SSL",
        kafka_ssl_cert_file=str(tmp_path / "client.pem"),
        kafka_ssl_key_file=str(tmp_path / "client.key"),
    )
    with pytest.raises(ConfigurationError, match=r"^ONPOINT_KAFKA_SSL_CERT_FILE: .*client\.pem"):
        KafkaClients(settings, "test")
