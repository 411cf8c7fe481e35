"""What a run came to, and why: the first status that fits."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from services.quality.domain.books import RunFacts, format_label, imbalances, summarize
from services.quality.domain.ledger import printable
from shared.events.decode import MAX_EVENT_BYTES, encode
from shared.events.models import CheckResult, DatasetSummary, Part, RunCompleted, RunStatus

MAX_REASON_CHARS = 3000
"""Leaves room for what could not be listed, below the bound of a text in an event."""

COMPLAINTS_NAMED = 10
"""So many complaints are spelt out; the others are in the event's lists."""

LISTED_BYTES = MAX_EVENT_BYTES - 100_000
"""What the whole event may take with its lists; the rest is slack for its envelope."""

_P = TypeVar("_P", bound=Part)


@dataclass(frozen=True, slots=True)
class Verdict:
    status: RunStatus
    reason: str | None


def decide(
    facts: RunFacts,
    summaries: Mapping[str, DatasetSummary],
    checks: Sequence[CheckResult],
    max_rejected_ratios: Mapping[str, float],
    formats: Mapping[str, Collection[str]] | None = None,
) -> Verdict:
    """`formats`: those of the datasets' files, which a request without formats asks for."""
    if facts.cancelled:
        return Verdict("cancelled", "the run was cancelled")
    if failures := _failures(facts, summaries, checks):
        return Verdict("failed", _join(failures))
    if losses := _losses(facts, summaries, max_rejected_ratios) + _unwritten(facts, formats or {}):
        return Verdict("partial", _join(losses))
    return Verdict("succeeded", None)


def complete(
    facts: RunFacts,
    checks: Sequence[CheckResult],
    max_rejected_ratios: Mapping[str, float],
    finished_at: datetime,
    formats: Mapping[str, Collection[str]] | None = None,
) -> RunCompleted:
    """The value of `run.completed`. `dead` and `missing` hold the first that fit; `reason` says how many do not."""
    summaries = summarize(facts)
    verdict = decide(facts, summaries, checks, max_rejected_ratios, formats)
    completed = RunCompleted(
        run_id=facts.run_id,
        status=verdict.status,
        reason=verdict.reason,
        requested_at=facts.requested_at,
        started_at=facts.started_at,
        finished_at=finished_at,
        datasets=summaries,
        checks=tuple(checks),
    )
    room = max(0, LISTED_BYTES - len(encode(completed)))
    dead, room = _fitting(facts.dead, room)
    missing, _ = _fitting(facts.missing, room)
    more = [
        f"{total - listed} more {what} are not listed"
        for total, listed, what in (
            (facts.dead_total, len(dead), "dead results"),
            (facts.missing_total, len(missing), "missing pages"),
        )
        if total > listed
    ]
    reason = "; ".join([*([verdict.reason] if verdict.reason else []), *more]) or None
    return completed.model_copy(update={"reason": reason, "dead": dead, "missing": missing})


def given_up(completed: RunCompleted, cause: str) -> RunCompleted:
    """The same run as failed, because it could not be completed."""
    text = printable(f"the run could not be completed: {cause}".encode("utf-8", "replace").decode())
    return completed.model_copy(update={"status": "failed", "reason": _join([text])})


def _failures(
    facts: RunFacts, summaries: Mapping[str, DatasetSummary], checks: Sequence[CheckResult]
) -> list[str]:
    if facts.refused is not None:
        return [f"refused: {facts.refused}"]
    found = imbalances(summaries)
    if _nothing_delivered(facts, summaries):
        rejected = sum(books.rows_rejected for books in summaries.values())
        crawled = sum(books.rows_crawled for books in summaries.values())
        causes = [_dead(facts)] if any(facts.dead_batches.values()) else []
        found.append(
            "nothing could be delivered: " + ", ".join([*causes, f"{rejected} of {crawled} rows rejected"])
        )
    return found + [
        _check_failed(check) for check in checks if not check.passed and check.severity == "error"
    ]


def _nothing_delivered(facts: RunFacts, summaries: Mapping[str, DatasetSummary]) -> bool:
    expected = (
        facts.missing_total > 0
        or any(books.rows_crawled or books.batches_dead for books in summaries.values())
        or any(plan.rows for plan in facts.plans.values())
    )
    delivered = any(
        books.rows_loaded or books.rows_superseded or books.rows_stored for books in summaries.values()
    )
    return expected and not delivered


def _losses(
    facts: RunFacts, summaries: Mapping[str, DatasetSummary], max_rejected_ratios: Mapping[str, float]
) -> list[str]:
    found = []
    if any(facts.dead_batches.values()):
        found.append(_dead(facts))
    if facts.missing_total:
        found.append(
            "1 page is missing" if facts.missing_total == 1 else f"{facts.missing_total} pages are missing"
        )
    for name, books in summaries.items():
        # Decimal: 0.29 x 100 is below 29 in binary floating point.
        ratio = Decimal(str(max_rejected_ratios[name]))
        if books.rows_rejected > ratio * books.rows_crawled:
            share = 100 * books.rows_rejected / max(1, books.rows_crawled)
            found.append(
                f"{name}: {books.rows_rejected} of {books.rows_crawled} rows rejected ({share:.4g} %), "
                f"at most {100 * float(ratio):.4g} %"
            )
    return found


def _unwritten(facts: RunFacts, formats: Mapping[str, Collection[str]]) -> list[str]:
    """Formats that were asked for and failed, with the number of batches that lack them."""
    lacking: Counter[tuple[str, str]] = Counter()
    for group in facts.partly_converted:
        asked = formats.get(group.dataset, ()) if facts.formats is None else facts.formats
        written = {format_label(name) for name in group.written}
        # The dataset's file may have changed since: that something failed is certain, what it was is then not.
        for name in [name for name in asked if name not in written] or ["an export"]:
            lacking[group.dataset, name] += group.batches
    return [
        f"{dataset}: {name} could not be written for {batches} of {_counted(facts.plans[dataset].batches, 'batch')}"
        for (dataset, name), batches in lacking.items()
    ]


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}es"


def _dead(facts: RunFacts) -> str:
    dead = sum(facts.dead_batches.values())
    return "1 batch is dead" if dead == 1 else f"{dead} batches are dead"


def _check_failed(check: CheckResult) -> str:
    if isinstance(check.value, str):
        return f"check {check.name} on {check.dataset} could not run: {check.value}"
    bounds = [f"at {'least' if side == 'min' else 'most'} {bound}" for side, bound in check.expected.items()]
    return f"check {check.name} on {check.dataset} failed: {', '.join([str(check.value), *bounds])}"


def _join(complaints: Sequence[str]) -> str:
    named = list(complaints[:COMPLAINTS_NAMED])
    if len(complaints) > COMPLAINTS_NAMED:
        named.append(f"and {len(complaints) - COMPLAINTS_NAMED} more")
    text = "; ".join(named)
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"


def _fitting(entries: Sequence[_P], room: int) -> tuple[tuple[_P, ...], int]:
    """The first entries that fit into so many bytes, and the bytes that are left."""
    kept = []
    for entry in entries:
        size = len(encode(entry)) + 1
        if size > room:
            break
        room -= size
        kept.append(entry)
    return tuple(kept), room
