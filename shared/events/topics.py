"""Names of the topics. Partitions and retention are declared in deploy/kafka/topics.yaml."""

from typing import Final

CRAWL_REQUESTED: Final = "crawl.requested"
CRAWL_BATCH_REQUESTED: Final = "crawl.batch.requested"
CRAWL_PLANNED: Final = "crawl.planned"
BATCH_CRAWLED: Final = "batch.crawled"
BATCH_PROCESSED: Final = "batch.processed"
BATCH_CONVERTED: Final = "batch.converted"
BATCH_LOADED: Final = "batch.loaded"
BATCH_STORED: Final = "batch.stored"
BATCH_FAILED: Final = "batch.failed"
RUN_SEALED: Final = "run.sealed"
RUN_DRAINED: Final = "run.drained"
RUN_COMPLETED: Final = "run.completed"
EXPORTS_COMBINE_REQUESTED: Final = "exports.combine.requested"
EXPORTS_COMBINED: Final = "exports.combined"


def retry_topic(service: str) -> str:
    return f"{service}.retry"


def dead_letter_topic(service: str) -> str:
    return f"{service}.dlq"


def consumer_group(service: str) -> str:
    return f"onpoint-{service}"


def transactional_id_prefix(group: str, topic: str) -> str:
    """Of the producers that answer the records of a topic; the number of the partition follows."""
    return f"{group}-{topic}-"
