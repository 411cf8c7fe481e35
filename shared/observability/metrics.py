"""The one registry of metric names. Labels are bounded: services, topics, stages, datasets, reasons; never ids."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_HANDLING_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

RECORDS_HANDLED = Counter(
    "onpoint_records_handled_total",
    "Records whose offset was committed. outcome: done, retried (later), dead (to the dead letters).",
    ["topic", "outcome"],
    registry=REGISTRY,
)
RECORD_RETRIES = Counter(
    "onpoint_record_retries_total",
    "Tries that failed and come again. kind: outage (of Kafka, PostgreSQL or S3; without end) or error (bounded).",
    ["topic", "kind"],
    registry=REGISTRY,
)
RECORD_SECONDS = Histogram(
    "onpoint_record_handling_seconds",
    "From the record's fetch to the commit of its offset.",
    ["topic"],
    buckets=_HANDLING_BUCKETS_S,
    registry=REGISTRY,
)
BUSY_SECONDS = Counter(
    "onpoint_busy_seconds_total",
    "Seconds in which at least one piece of work was in hand. Its rate is the share of time that is not waiting.",
    registry=REGISTRY,
)
PARTITIONS_PAUSED = Gauge(
    "onpoint_partitions_paused",
    "Partitions that wait because Kafka, PostgreSQL or S3 is down. Above 0 for long: look at the service's log.",
    registry=REGISTRY,
)
OFFSET_RESETS = Counter(
    "onpoint_offset_resets_total",
    "Times that a partition's next record was gone. Above 0: records were skipped; the log names their offsets.",
    ["topic"],
    registry=REGISTRY,
)
BRAKE_OPEN = Gauge(
    "onpoint_brake_open",
    "1 while the service stands still because nearly every record fails: mend the cause, then resume.",
    registry=REGISTRY,
)
BROKER_REACHABLE = Gauge("onpoint_broker_reachable", "1 while the broker answers.", registry=REGISTRY)
MEMORY_USED_RATIO = Gauge(
    "onpoint_memory_used_ratio",
    "Memory in use, as a share of the cgroup's limit or of the machine. Above 0.8 nothing new is begun.",
    registry=REGISTRY,
)
LOOP_LAG_SECONDS = Gauge(
    "onpoint_loop_lag_seconds",
    "How late the event loop woke up in the last second. Above 1: something blocks it.",
    registry=REGISTRY,
)
STAGE_ROWS = Counter(
    "onpoint_rows_total",
    "Rows by what a stage decided. outcome: read, accepted, rejected, deduplicated, filtered, added, loaded, superseded.",
    ["stage", "dataset", "outcome"],
    registry=REGISTRY,
)
ROWS_REJECTED = Counter(
    "onpoint_rows_rejected_total",
    "Rows that a stage put into quarantine, by the reason of their refusal.",
    ["stage", "dataset", "reason"],
    registry=REGISTRY,
)
STAGE_BATCHES = Counter(
    "onpoint_batches_total",
    "Batches by result: done, dead.",
    ["stage", "dataset", "status"],
    registry=REGISTRY,
)
FIELDS_IGNORED = Counter(
    "onpoint_fields_ignored_total",
    "Values of source fields that the dataset file does not name.",
    ["dataset"],
    registry=REGISTRY,
)
COLUMNS_VERSIONS = Counter(
    "onpoint_columns_versions_total",
    "Versions of a dataset's columns that its records made necessary.",
    ["dataset"],
    registry=REGISTRY,
)
SOURCE_REQUESTS = Counter(
    "onpoint_source_requests_total",
    "Requests to sources by outcome.",
    ["source", "outcome"],
    registry=REGISTRY,
)
LEDGER_EVENTS = Counter(
    "onpoint_ledger_events_total",
    "Results that reached the run ledger. outcome: recorded, duplicate (it was there before).",
    ["stage", "outcome"],
    registry=REGISTRY,
)
RUNS_COMPLETED = Counter(
    "onpoint_runs_completed_total", "Runs by how they ended.", ["status"], registry=REGISTRY
)
RUN_SECONDS = Histogram(
    "onpoint_run_seconds",
    "From the append of a run's request to its verdict.",
    buckets=(1, 3, 10, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600),
    registry=REGISTRY,
)
CHECKS_FAILED = Counter(
    "onpoint_checks_failed_total",
    "Data checks that did not pass when their run completed.",
    ["dataset", "severity"],
    registry=REGISTRY,
)
RUN_OVERDUE = Gauge(
    "onpoint_run_overdue",
    "1 while a run of the dataset is overdue by the dataset's `expect`.",
    ["dataset"],
    registry=REGISTRY,
)
NEWS_SENT = Counter("onpoint_news_sent_total", "News that a channel took.", ["channel"], registry=REGISTRY)
NEWS_PENDING = Gauge(
    "onpoint_news_pending", "News that wait to be sent, or to be tried again.", ["channel"], registry=REGISTRY
)
NEWS_FAILED = Gauge(
    "onpoint_news_failed",
    "News that were given up: `onpoint news list` tells why, `onpoint news retry` tries again.",
    ["channel"],
    registry=REGISTRY,
)
HEALTH_STATUS = Gauge(
    "onpoint_health_status",
    "State of each health check: 0 healthy, 1 warning, 2 stale or no data, 3 failed.",
    ["check"],
    registry=REGISTRY,
)
OBJECTS_SWEPT = Counter(
    "onpoint_swept_objects_total",
    "Objects that the sweep removed. kind: artifacts, losers, uploads, lake_objects, exports.",
    ["kind"],
    registry=REGISTRY,
)
BYTES_SWEPT = Counter(
    "onpoint_swept_bytes_total",
    "Bytes that the sweep freed, by the kind of object.",
    ["kind"],
    registry=REGISTRY,
)
EXPORTS_FAILED = Counter(
    "onpoint_exports_failed_total",
    "Export files that could not be written while the batch's other formats could. "
    "format: parquet, csv, json, xlsx, feather, avro.",
    ["dataset", "format"],
    registry=REGISTRY,
)
COMBINATIONS = Counter(
    "onpoint_exports_combined_total",
    "Datasets of ended runs whose exports were combined into few files, by result: done, failed.",
    ["dataset", "format", "result"],
    registry=REGISTRY,
)
CDC_OBJECTS = Counter(
    "onpoint_cdc_objects_total", "Objects of change capture in the lake.", ["table"], registry=REGISTRY
)
CDC_ROWS = Counter("onpoint_cdc_rows_total", "Changes of rows in the lake.", ["table"], registry=REGISTRY)
CDC_SKIPPED = Counter(
    "onpoint_cdc_skipped_total",
    "Changes that were not stored, as they change nothing or only where a row came from.",
    ["table"],
    registry=REGISTRY,
)
CDC_SLOT_LAG_BYTES = Gauge(
    "onpoint_cdc_slot_lag_bytes", "WAL that change capture has not confirmed yet.", registry=REGISTRY
)
CDC_SLOT_LOST = Gauge(
    "onpoint_cdc_slot_lost",
    "1 while the replication slot is gone or its WAL is: changes are lost, and `onpoint cdc resnapshot --all` begins anew.",
    registry=REGISTRY,
)
CDC_STOPPED = Gauge(
    "onpoint_cdc_stopped_partitions",
    "Topics of tables that stopped at a gap; /readyz names them.",
    registry=REGISTRY,
)
