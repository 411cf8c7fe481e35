"""What change capture is called on the bus. The files of deploy/kafka-connect have the same names."""

from typing import Final

TOPIC_PREFIX: Final = "cdc"
"""Of Debezium: a table's topic is `cdc.<schema>.<table>`."""
CONNECTOR: Final = "onpoint-cdc"
SINK_GROUP: Final = "onpoint-cdc"

CONNECT_GROUP: Final = "onpoint-connect"
CONFIGS: Final = "onpoint.connect.configs"
OFFSETS: Final = "onpoint.connect.offsets"
STATUS: Final = "onpoint.connect.status"
SIGNALS: Final = "onpoint.connect.signals"
"""Read by the connector: what `onpoint cdc` asks of it."""
SIGNAL_GROUP: Final = "kafka-signal"
"""As Debezium calls it: the connector commits what it has read of the signals."""
HEARTBEATS: Final = f"__debezium-heartbeat.{TOPIC_PREFIX}"
"""As Debezium calls it."""
