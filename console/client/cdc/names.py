"""What change capture is called where other programs see it. The files of deploy/kafka-connect have the same names."""

from shared.events.capture import TOPIC_PREFIX

ROLE = "onpoint_cdc"
PUBLICATION = "onpoint_cdc"
SLOT = "onpoint_cdc"
PASSWORD_FILE = "postgres_cdc"  # noqa: S105 - the name of a file


def topic_of(schema: str, table: str) -> str:
    """As Debezium calls it."""
    return f"{TOPIC_PREFIX}.{schema}.{table}"
