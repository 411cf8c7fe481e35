"""The connector's configuration: the file of the repository and what differs between installations."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from console.client.cdc.names import PASSWORD_FILE, ROLE
from console.client.cdc.source import Table
from shared.errors import ConfigurationError
from shared.settings.kafka import KafkaSettings

DEFAULT_PORT = 5432


JAAS_FILE = "kafka_jaas"
CA_FILE = "kafka_ca.pem"
"""Files of Connect's folder of secrets, for brokers with a login or with TLS."""


def connector_config(
    file: Path,
    *,
    dsn: str,
    tables: Sequence[Table],
    kafka: KafkaSettings,
    secrets_dir: str,
    replication: int,
) -> dict[str, str]:
    """Every value as text, as Connect has them.

    Raises `ConfigurationError` for a file that cannot be used. The password is named, and is not in it.
    """
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file}: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigurationError(f"{file}: must be settings, one a line")
    address = urlsplit(dsn)
    own = {
        "database.hostname": address.hostname or "localhost",
        "database.port": address.port or DEFAULT_PORT,
        "database.dbname": unquote(address.path.lstrip("/")),
        "database.user": ROLE,
        "database.password": f"${{dir:{secrets_dir}:{PASSWORD_FILE}}}",
        "table.include.list": ",".join(_pattern(table) for table in tables),
        "signal.kafka.bootstrap.servers": kafka.kafka_bootstrap_servers,
        **_signal_consumer(kafka, secrets_dir),
        "topic.creation.default.replication.factor": replication,
    }
    return {name: _text(value) for name, value in (settings | own).items()}


def _signal_consumer(kafka: KafkaSettings, secrets_dir: str) -> dict[str, str]:
    """Debezium's own consumer has not the worker's login. The user is Connect's, so the login is a secret of Connect."""
    found = {}
    if kafka.kafka_security_protocol != "PLAINTEXT":
        found["security.protocol"] = str(kafka.kafka_security_protocol)
    if kafka.kafka_uses_tls and kafka.kafka_ssl_ca_file is not None:
        found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": f"{secrets_dir}/{CA_FILE}"}
    if kafka.kafka_uses_sasl:
        found |= {
            "sasl.mechanism": str(kafka.kafka_sasl_mechanism),
            "sasl.jaas.config": f"${{dir:{secrets_dir}:{JAAS_FILE}}}",
        }
    return {f"signal.consumer.{name}": value for name, value in found.items()}


def _pattern(table: Table) -> str:
    """Debezium takes regular expressions, and splits at commas."""
    return f"{table.schema}\\.{table.name}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
