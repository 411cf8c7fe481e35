"""Brokers and groups, as quality sees them."""

from deploy.observe.dashboards.boards.parts import panel, stat
from deploy.observe.dashboards.model import Dashboard, Row

KAFKA = Dashboard(
    "onpoint-kafka",
    "OnPoint: Kafka",
    (
        Row(
            "Brokers",
            (
                stat("Partitions with too few copies", "max(onpoint_kafka_under_replicated_partitions)"),
                stat("Partitions without a leader", "max(onpoint_kafka_leaderless_partitions)"),
                stat("Age of these figures", "time() - max(onpoint_kafka_measured_timestamp_seconds)", "s"),
                panel(
                    "Records that arrive",
                    ("max by (topic) (rate(onpoint_kafka_end_offsets[5m]))", "{{topic}}"),
                    unit="ops",
                ),
                panel(
                    "Services that reach Kafka",
                    ("sum by (service) (onpoint_broker_reachable)", "{{service}}"),
                ),
                panel(
                    "Certificates: time left",
                    ("min by (server) (onpoint_certificate_expiry_timestamp_seconds) - time()", "{{server}}"),
                    unit="s",
                    only_under="brokers with TLS",
                ),
            ),
        ),
        Row(
            "Groups",
            (
                panel(
                    "Records behind",
                    ("service:onpoint_group_lag_records:max", "{{group}} {{topic}}"),
                    says="As the brokers have it: also of a service that does not answer.",
                ),
                panel(
                    "Records that are committed",
                    (
                        "max by (group) (sum by (group, instance) (rate(onpoint_group_committed_offsets[5m])))",
                        "{{group}}",
                    ),
                    unit="ops",
                ),
                panel(
                    "Standing still",
                    ("max by (group, topic) (onpoint_group_stalled_seconds)", "{{group}} {{topic}}"),
                    unit="s",
                ),
                panel(
                    "Longest wait by topic",
                    ("max by (topic) (service:onpoint_consumer_lag_seconds:max)", "{{topic}}"),
                    unit="s",
                ),
            ),
        ),
    ),
)
