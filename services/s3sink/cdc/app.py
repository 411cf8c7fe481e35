from services.s3sink.cdc.catalog import Catalog
from services.s3sink.cdc.decode import Decoder
from services.s3sink.cdc.repository import CdcRepository, Load, Written
from services.s3sink.cdc.scratch import scratch_room
from services.s3sink.cdc.settings import CdcSettings
from services.s3sink.cdc.sink import CdcSink
from services.s3sink.cdc.watch import SlotWatch
from shared.bus.batches import BatchSubscription, topics_of
from shared.bus.kafka import KafkaClients
from shared.bus.lag import LagMeter
from shared.events.capture import SINK_GROUP, TOPIC_PREFIX
from shared.observability.metrics import (
    CDC_CAPTURE_LAG_SECONDS,
    CDC_EXPECTED_ROWS,
    CDC_LOADED_ROWS,
    CDC_OBJECTS,
    CDC_ROWS,
    CDC_SKIPPED,
    CDC_STOPPED,
)
from shared.postgres.migrations import find_migrations
from shared.postgres.pool import open_pool
from shared.postgres.startup import wait_for_database
from shared.runtime.process import Process, run_service
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.storage.object_store import open_s3


async def build(process: Process) -> None:
    """Makes the sink and its watch. Waits for PostgreSQL and the migrations of s3sink."""
    settings, kafka = load_settings(CdcSettings), load_settings(KafkaSettings)
    storage = load_settings(ObjectStoreSettings)
    pool = await open_pool(load_settings(PostgresSettings), process.waits_for)
    process.resources.push_async_callback(pool.close)
    await wait_for_database(pool, find_migrations("services.s3sink"), process.waits_for)
    sink = CdcSink(
        CdcRepository(pool),
        Catalog(pool),
        Decoder(),
        open_s3(storage, storage.lake_bucket),
        settings,
        process.resources.enter_context(scratch_room()),
        observe,
    )
    clients = KafkaClients(kafka, SINK_GROUP)
    subscription = BatchSubscription(
        clients,
        group=SINK_GROUP,
        pattern=topics_of(TOPIC_PREFIX),
        handler=sink,
        send_dead_letter=process.publisher.send_dead_letter,
        session_timeout_ms=kafka.kafka_session_timeout_ms,
    )
    watch = SlotWatch(pool)
    lag = LagMeter(clients, SINK_GROUP, subscription.assigned)
    process.loops.extend([subscription.run, watch.run, lag.run])
    process.checks.extend([subscription.problems, watch.problems])
    CDC_STOPPED.set_function(subscription.stopped)
    CDC_CAPTURE_LAG_SECONDS.set_function(lambda: max(subscription.lag_s(), watch.lag_s))


def observe(table: str, written: Written, skipped: int, load: Load) -> None:
    """Counts an object that is in the lake."""
    CDC_OBJECTS.labels(table).inc()
    CDC_ROWS.labels(table).inc(written.rows)
    CDC_SKIPPED.labels(table).inc(skipped)
    CDC_LOADED_ROWS.labels(table).set(load.rows)
    if load.expected is not None:
        CDC_EXPECTED_ROWS.labels(table).set(load.expected)


def main() -> None:
    run_service("s3sink", build)
