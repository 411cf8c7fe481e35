"""A trace for people. Pure."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from console.client.trace.model import STATE_TEXT, Evidence, Request, Row, Searched, State, Trace
from console.formatting import moment, one_line, quantity, size
from shared.reasons import reason_text

STATE_STYLE: dict[State, str] = {
    "current": "bold green",
    "superseded": "bold cyan",
    "not_loaded": "bold yellow",
    "quarantined": "bold red",
    "left_out": "bold yellow",
}

RAW_CHARS = 2_000
"""Of a record; --json has all of it."""

LABEL_CHARS = 10

NO_ETAG = "no ETag"


def render(trace: Trace) -> RenderableType:
    """The rows, and how much was looked through where that may not be all."""
    what = f"{trace.dataset} {one_line(trace.asked)}"
    found = quantity(len(trace.rows) + trace.more, "row") if trace.rows else "no such row"
    parts: list[RenderableType] = [Text.assemble((what, "bold"), f": {found}")]
    for row in trace.rows:
        parts += [Text(), *_row(row, trace.table)]
    if trace.more:
        parts += [Text(), Text(f"and {quantity(trace.more, 'older row')}: --limit N shows more", "dim")]
    parts += [Text(line, "yellow") for line in _unsearched(trace.searched)]
    return Group(*parts)


def _row(row: Row, table: str) -> Iterator[RenderableType]:
    heading = Text(row.state.replace("_", " "), STATE_STYLE[row.state])
    heading.append(f"  {STATE_TEXT[row.state]}", "default")
    yield heading
    for name, text in _lines(row, table):
        # Not wrapped: an address is copied whole.
        yield Text.assemble((f"  {name:<{LABEL_CHARS}}", "dim"), text, no_wrap=True, overflow="ignore")


def _lines(row: Row, table: str) -> Iterator[tuple[str, str]]:
    if row.refusal is not None:
        yield "refused", f"by the {row.refusal.stage}: {_refused(row)}"
        yield "", row.refusal.uri
    if row.state == "current" and row.loaded_at is not None:
        yield "table", f"{table}, loaded {moment(row.loaded_at)}"
    for file in row.lake:
        by = f", by compaction {file.compaction}" if file.compaction else ""
        yield "lake", f"{file.uri} (row group {file.row_group}{by})"
    for export in row.exports:
        one_of = f" (in one of {export.is_one_of} files)" if export.is_one_of > 1 else ""
        yield "export", f"{export.uri}{one_of}"
    yield from _batch(row)
    yield from _evidence(row.evidence, row.origin.run_id)
    if row.run is not None:
        by = f" by {one_line(row.run.requested_by)}" if row.run.requested_by else ""
        yield "run", f"{row.run.run_id}, {row.run.status}, requested {moment(row.run.requested_at)}{by}"
        if row.run.replay_of:
            yield "", f"a replay of {row.run.replay_of}"
        if row.run.superseded_by:
            yield "", f"replayed since by {row.run.superseded_by}"
    else:
        yield "run", row.origin.run_id


def _refused(row: Row) -> str:
    if row.refusal is None:
        return ""
    detail = f" ({one_line(row.refusal.detail)})" if row.refusal.detail else ""
    return f"{one_line(reason_text(row.refusal.reason))}{detail}"


def _batch(row: Row) -> Iterator[tuple[str, str]]:
    yield "position", f"{row.origin.position:,} of the crawl"
    if row.batch is None:
        yield "batch", row.origin.batch_id
        return
    stages = ", ".join(
        f"{one.stage} {one.status}{f' ({one.reason})' if one.reason else ''}" for one in row.batch.stages
    )
    yield "batch", f"{row.batch.batch_id}, number {row.batch.sequence:,}: {stages}"
    for file in row.batch.files:
        if file.stage == "processor" and file.format == "parquet":
            yield "staged", f"{file.uri} ({quantity(file.rows, 'row')}, {size(file.bytes)})"


def _evidence(evidence: Evidence, run_id: str) -> Iterator[tuple[str, str]]:
    if evidence.request is not None:
        yield "request", f"GET {one_line(evidence.request.url)}"
        if evidence.request.answered_url:
            yield "", f"redirected to {one_line(evidence.request.answered_url)}"
        yield "", _answer(evidence.request)
    if evidence.crawled_by is not None and evidence.crawled_by != run_id:
        yield "", f"made by run {evidence.crawled_by}"
    if evidence.raw_uri is not None and evidence.gone is None:
        yield "raw", f"{evidence.raw_uri}, line {evidence.line:,}"
    if evidence.raw is not None:
        text = one_line(evidence.raw[: RAW_CHARS + 1])
        yield "record", text if len(text) <= RAW_CHARS else f"{text[:RAW_CHARS]}… (--json has all of it)"
    if evidence.gone is not None:
        yield "gone", evidence.gone


def _answer(request: Request) -> str:
    status = "no answer" if request.status is None else f"status {request.status}"
    at = f" at {one_line(request.fetched_at)}" if request.fetched_at else ""
    etag = f", ETag {one_line(request.etag)}" if request.etag else f", {NO_ETAG}"
    detail = f": {one_line(request.detail)}" if request.detail else ""
    took = "" if request.took_ms is None else f" after {request.took_ms:,} ms"
    tries = f", at try {request.tries:,}" if (request.tries or 1) > 1 else ""
    return f"{status}{at}{took}{tries}{etag}{detail}"


def _unsearched(searched: Searched) -> Iterator[str]:
    if searched.lake_objects_left:
        yield (
            f"{searched.lake_objects_left:,} of {searched.lake_objects + searched.lake_objects_left:,} lake objects "
            "were not looked at: --all looks at every one, --run RUN at those of a run"
        )
    if searched.quarantine_files_left:
        yield (
            f"{quantity(searched.quarantine_files_left, 'file')} with refused rows or more were not looked at: "
            "--all looks at every one"
        )
    for why in searched.unreadable:
        yield f"not readable: {one_line(why)}"
