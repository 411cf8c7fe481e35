"""The work on one batch: files of a scratch folder in, files of that folder out. Synchronous, and runs in a thread.

Nothing here knows the event loop, the object store or the bus: it can run in any process that has the folder.
"""

from dataclasses import dataclass
from pathlib import Path

from services.processor.adapters.clean_file import rewrite_lineage, write_clean
from services.processor.adapters.quarantine_file import QuarantineFile, add_refused
from services.processor.adapters.raw_file import inflate
from services.processor.adapters.stored_rows import HELD_BYTES, RowBuffer, RowsFile
from services.processor.adapters.transformed_rows import ROWS, TRANSFORMED_ROWS, raw_lines, transform_rows
from services.processor.domain.lines import LongLine, cut_lines
from services.processor.domain.parse import Watch, parse_chunk, refuse_long
from services.processor.domain.parse_schema import ParseSchema
from services.processor.domain.quarantine import RequestLog, read_request_log
from shared.datasets.model import Dataset
from shared.errors import PermanentError
from shared.events.models import Artifact, BatchManifest, Counts
from shared.parquet.reader import open_clean
from shared.reasons import Reason
from shared.transforms.apply import Transformer
from shared.transforms.result import Transformed

RAW_FORMAT = "jsonl.zst"
REQUESTS_FORMAT = "requests.jsonl.zst"
QUARANTINE_FORMAT = "quarantine.jsonl.zst"

REPLAYED_FILE = "replayed.parquet"

MAX_REQUESTS_BYTES = 256 * 2**20
"""Of a requests log, inflated: a thousand requests take a few hundred kilobytes."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of a batch's lines."""

    counts: Counts
    repeated: int
    rejected_by_reason: dict[str, int]
    absent: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    ignored: int = 0
    columns_version: int = 1
    made_columns: bool = False
    """Whether the version was made for the batch."""
    remarks: tuple[str, ...] = ()
    """A sentence each, about the columns."""


def copy_processed(folder: Path, crawled: BatchManifest, clean: Artifact, dataset: Dataset) -> None:
    """Rows of another run's processor to Parquet, with this batch's lineage columns."""
    with open_clean(folder / REPLAYED_FILE, dataset, clean) as parquet:
        rewrite_lineage(parquet, clean, folder / "parquet", crawled, dataset)


def clean_raw(
    folder: Path,
    crawled: BatchManifest,
    rows: int,
    dataset: Dataset,
    parse_schema: ParseSchema,
    transformer: Transformer,
) -> Cleaned:
    """Raw lines to Parquet and quarantine.

    Raises `PermanentError` for an artifact that is not as in its manifest, and for a transform that fails.
    """
    watch = Watch(parse_schema, crawled.run_id, crawled.batch_id, are_stored=not dataset.transform)
    log = _request_log(folder / REQUESTS_FORMAT)
    lines = refused = ignored = 0
    with (
        RowBuffer(folder / ROWS, parse_schema.schema, 0 if dataset.transform else HELD_BYTES) as store,
        QuarantineFile(folder / QUARANTINE_FORMAT, log, crawled.first_position) as quarantine,
    ):
        for piece in cut_lines(inflate(folder / RAW_FORMAT)):
            if isinstance(piece, LongLine):
                lines, refused = lines + 1, refused + 1
                quarantine.add([refuse_long(piece)])
                continue
            lines += piece.lines
            if lines > rows:
                break
            for parsed in parse_chunk(piece, crawled.first_position, parse_schema, watch):
                store.add(parsed.rows)
                quarantine.add(parsed.refused)
                refused, ignored = refused + len(parsed.refused), ignored + parsed.ignored
    if lines != rows:
        raise PermanentError(
            Reason.CHECKSUM, f"the raw artifact has {lines} lines or more, its manifest gives {rows}"
        )
    typed, reasons, transformed = store.rows, quarantine.reasons, Transformed()
    if dataset.transform:
        transformed = transform_rows(folder, crawled, dataset, transformer)
        typed = RowsFile(folder / TRANSFORMED_ROWS)
    if transformed.refused:
        again = raw_lines(cut_lines(inflate(folder / RAW_FORMAT)), transformed, crawled.first_position)
        reasons = add_refused(folder / QUARANTINE_FORMAT, again, log, crawled.first_position)
    written = write_clean(typed, folder / "parquet", crawled, dataset)
    counts = Counts(
        read=lines,
        accepted=written.accepted,
        rejected=refused + len(transformed.refused),
        deduplicated=written.deduplicated,
        filtered=transformed.filtered,
        added=transformed.added,
    )
    absent = tuple(name for name in watch.absent.names() if name not in dataset.added)
    return Cleaned(
        counts,
        written.repeated,
        dict(reasons),
        absent,
        watch.unnamed.names() if absent else (),
        ignored,
    )


def _request_log(file: Path) -> RequestLog:
    if not file.exists():
        return RequestLog([])
    data = bytearray()
    for block in inflate(file):
        data += block
        if len(data) > MAX_REQUESTS_BYTES:
            raise PermanentError(Reason.TOO_LARGE, f"the requests log is above {MAX_REQUESTS_BYTES} bytes")
    return read_request_log(bytes(data))
