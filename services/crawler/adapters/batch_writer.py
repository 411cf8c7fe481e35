"""The two files of a batch: the raw lines, and the log of the requests that gave them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

from services.crawler.adapters.checkpoints import Checkpoint
from services.crawler.adapters.line_file import LineFile
from services.crawler.adapters.spool import Spool
from services.crawler.domain.fetching import Answer, FetchFailure
from services.crawler.domain.records import NULL_LINE
from shared.events.models import Counts, CursorWork, MissingPage
from shared.reasons import Reason

RAW_FILE, LOG_FILE = "raw", "requests"

MAX_URL_CHARS = 2000
MAX_MISSING_URL_CHARS = 300
MAX_MISSING_REASON_CHARS = 300
"""A batch may miss 1,000 pages, and its manifest must stay below a megabyte."""

MAX_REMARKS = 10
MAX_REMARK_CHARS = 300

BEYOND_THE_END = "not crawled: the run had ended its chain here when the batch failed; request a new run"


def no_records_remark(lacking: str) -> str:
    """Of a source without a record, by what its answer has instead of an array."""
    return f"0 records: {lacking}"


def missed(url: str, reason: str) -> MissingPage:
    return MissingPage(url=url[:MAX_MISSING_URL_CHARS], reason=reason[:MAX_MISSING_REASON_CHARS])


class Fetched:
    """The lines of one answer, waiting for their turn. `digests` tell whether it came before."""

    __slots__ = ("digests", "empty", "is_cut", "lacking", "lines", "rows")

    def __init__(
        self,
        lines: Spool,
        rows: int,
        *,
        empty: bool,
        digests: Sequence[str],
        lacking: str = "",
        is_cut: bool = False,
    ) -> None:
        """`lacking`: of a page without an array, what it has instead. `is_cut`: the page had more records than wanted."""
        self.lines = lines
        self.rows = rows
        self.empty = empty
        self.digests = digests
        self.lacking = lacking
        self.is_cut = is_cut


class BatchWriter:
    """Writes answers in source order, and counts."""

    def __init__(self, raw: LineFile, log: LineFile) -> None:
        self.raw = raw
        self.log = log
        self.rows = 0
        self.rejected = 0
        self.requests = 0
        self.failed = 0
        self.promised: int | None = None
        self.missing: list[MissingPage] = []
        self.unconfirmed: list[MissingPage] = []
        """Pages that are missing if the source goes on behind them."""
        self.lacking = ""
        """What the first page without an array had instead."""
        self.total_problem: str | None = None
        """Of the first total that is not a number."""
        self.mark: str | None = None
        """How far the records reach, as JSON."""
        self._remarks: dict[str, None] = {}
        self.last_failure: FetchFailure | None = None
        self.seen: set[str] = set()
        """Digests of the pages: one of them that comes again is a repetition."""

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continues from a checkpoint: the files already contain what it names."""
        self.rows, self.requests = checkpoint.raw.rows, checkpoint.requests.rows
        self.rejected, self.failed = checkpoint.rejected, checkpoint.failed
        self.promised, self.missing = checkpoint.promised, list(checkpoint.missing)
        self.unconfirmed = list(checkpoint.unconfirmed)
        self.lacking, self.total_problem = checkpoint.lacking, checkpoint.total_problem
        self.seen = set(checkpoint.seen)
        self.mark = checkpoint.mark

    @property
    def counts(self) -> Counts:
        return Counts(read=self.rows, accepted=self.rows - self.rejected, rejected=self.rejected)

    @property
    def remarks(self) -> str | None:
        """The warnings of a batch without failed requests, one sentence per line."""
        return "\n".join(self._remarks) or None

    @property
    def all_failed(self) -> bool:
        return self.requests > 0 and self.failed == self.requests

    def promise(self, total: int | None) -> None:
        """The number of records that an answer promises. The largest counts: the others may be of an earlier moment."""
        if total is not None:
            self.promised = max(total, self.promised or 0)

    def remark(self, sentence: str) -> None:
        if len(self._remarks) < MAX_REMARKS:
            self._remarks[sentence[:MAX_REMARK_CHARS]] = None

    async def add(self, answer: Answer[Fetched]) -> None:
        fetched = answer.value
        reason = Reason.EMPTY if fetched.empty else None
        led = answer.answered_url[:MAX_URL_CHARS] if answer.answered_url != answer.url else None
        await self._log(
            answer, fetched.rows, reason, None, etag=answer.etag, answered_url=led, size=answer.bytes
        )
        if fetched.rows:
            for block in fetched.lines.blocks():
                await self.raw.write(block)
            await self.raw.write(b"\n")
        self.rows += fetched.rows
        self.rejected += fetched.empty

    async def add_failure(
        self, failure: FetchFailure, *, is_page: bool, missing_reason: str | None = None
    ) -> None:
        """A failed item is one rejected row, a line `null`. A failed page is missing: how many rows it had is unknown.

        `missing_reason`: of the missing page; by default the failure's detail.
        """
        self.failed += 1
        self.last_failure = failure
        if is_page:
            await self.add_missing(failure, missing_reason)
            return
        await self._log_failure(failure, rows=1)
        await self.raw.write(NULL_LINE + b"\n")
        self.rows += 1
        self.rejected += 1

    async def add_missing(self, page: FetchFailure, missing_reason: str | None = None) -> None:
        """A page whose records are not in the batch."""
        await self._log_failure(page, rows=0)
        self.miss(page.url, missing_reason or page.detail)

    async def add_end(self, behind: FetchFailure) -> None:
        """A request that found no records behind the last page."""
        await self._log(behind, 0, None, behind.detail)

    def end_at(self, following: CursorWork) -> None:
        """The number of batches is published already: what follows is listed as missing."""
        self.miss(following.url, BEYOND_THE_END)

    def miss(self, url: str, reason: str) -> None:
        """A page that was not requested, or not read."""
        self.missing.append(missed(url, reason))

    async def _log_failure(self, failure: FetchFailure, rows: int) -> None:
        await self._log(failure, rows, Reason.FETCH, failure.detail)

    async def _log(
        self,
        request: Answer[Fetched] | FetchFailure,
        rows: int,
        reason: Reason | None,
        detail: str | None,
        *,
        etag: str | None = None,
        answered_url: str | None = None,
        size: int | None = None,
    ) -> None:
        """`told`: what the answer says of itself, where it does."""
        self.requests += 1
        entry = {
            "place": self.rows,
            "rows": rows,
            "url": request.url[:MAX_URL_CHARS],
            "status": request.status,
            "reason": reason,
            "detail": detail,
            "fetched_at": request.fetched_at.isoformat(),
            "tries": request.tries,
            "took_ms": None if request.took_s is None else round(request.took_s * 1000),
            "etag": etag,
            "bytes": size,
            **({"answered_url": answered_url} if answered_url else {}),
        }
        await self.log.write(orjson.dumps(entry) + b"\n")


@contextmanager
def open_batch_writer(folder: Path) -> Iterator[BatchWriter]:
    """A writer whose files are closed at the end, finished or not."""
    writer = BatchWriter(LineFile(folder / RAW_FILE), LineFile(folder / LOG_FILE))
    try:
        yield writer
    finally:
        writer.raw.abandon()
        writer.log.abandon()
