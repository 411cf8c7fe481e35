"""Batch manifests in records, and the events with a result."""

from shared.bus.messages import Outgoing, Record
from shared.errors import PermanentError
from shared.events import ids, topics, topology
from shared.events.decode import decode_event
from shared.events.models import BatchManifest
from shared.reasons import Reason


def read_batch(record: Record) -> BatchManifest:
    """The manifest in a record. Raises `PermanentError`, also where its id or the key is another batch's."""
    manifest = decode_event(BatchManifest, record.value)
    check_identity(
        record, manifest.batch_id, ids.batch_id(manifest.run_id, manifest.dataset, manifest.sequence)
    )
    return manifest


def check_identity(record: Record, batch_id: str, own: str) -> None:
    """Raises `PermanentError` (`schema`) unless an event names the id that is derived from what it is about, and so
    does its record's key: else its results would replace another batch's.
    """
    if batch_id != own:
        raise PermanentError(Reason.SCHEMA, "batch_id is not that of its run, dataset and sequence")
    if record.key is not None and record.key_text != batch_id:
        raise PermanentError(Reason.SCHEMA, "the record's key is not its batch_id")


def try_read_batch(record: Record) -> BatchManifest | None:
    """The manifest in a record that could not be handled, or None where it is undecodable or another batch's."""
    try:
        return read_batch(record)
    except PermanentError:
        return None


def result_event(result: BatchManifest) -> Outgoing:
    """The event with a stage's result."""
    topic = topics.BATCH_FAILED if result.status == "dead" else topology.RESULT_OF_STAGE[result.stage]
    return Outgoing(topic, result.batch_id, result)
