from services.quality.lineage.consumer import GROUP, LineageConsumer
from services.quality.lineage.events import LineageEvents
from services.quality.lineage.naming import Places, database_of
from services.quality.lineage.receivers import HttpReceiver, Receiver, TopicReceiver
from services.quality.lineage.settings import LineageSettings
from shared.bus.kafka import KafkaClients
from shared.datasets.folder import DatasetFolder
from shared.datasets.frozen import RunDatasets
from shared.runtime.process import Process, run_service
from shared.settings.datasets import DatasetSettings
from shared.settings.kafka import KafkaSettings
from shared.settings.model import load_settings
from shared.settings.object_store import ObjectStoreSettings
from shared.settings.postgres import PostgresSettings
from shared.storage.object_store import open_s3


async def build(process: Process) -> None:
    settings, kafka = load_settings(LineageSettings), load_settings(KafkaSettings)
    storage = load_settings(ObjectStoreSettings)
    dsn = load_settings(PostgresSettings).postgres_dsn.get_secret_value()
    folder = DatasetFolder(load_settings(DatasetSettings).datasets_dir)
    clients = KafkaClients(kafka, GROUP)
    receiver = receiver_of(settings, clients)
    process.resources.push_async_callback(receiver.aclose)
    staging = open_s3(storage, storage.staging_bucket)
    consumer = LineageConsumer(
        clients,
        LineageEvents(
            Places(storage.staging_bucket, storage.lake_bucket, database_of(dsn)), settings.lineage_namespace
        ),
        RunDatasets(staging, folder.read),
        staging,
        receiver,
        session_timeout_ms=kafka.kafka_session_timeout_ms,
    )
    process.loops.append(consumer.run)
    process.checks.append(lambda: [consumer.problem] if consumer.problem else [])


def receiver_of(settings: LineageSettings, kafka: KafkaClients) -> Receiver:
    if settings.lineage_topic is not None:
        return TopicReceiver(kafka, settings.lineage_topic)
    return HttpReceiver(settings.lineage_url or "", settings.lineage_api_key)


def main() -> None:
    run_service("quality", build)
