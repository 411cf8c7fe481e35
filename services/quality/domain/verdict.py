"""The status of a run and its reason: the first status that fits."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import TypeVar

from services.quality.domain.ledger import printable
from services.quality.domain.row_accounting import (
    AbsentColumn,
    RunFacts,
    distinct_records,
    format_label,
    mismatches,
    summarize,
)
from shared.datasets.model import Dataset
from shared.events.decode import MAX_EVENT_BYTES, encode
from shared.events.models import CheckResult, DatasetSummary, Part, RunCompleted, RunStatus
from shared.reasons import Reason, reason_text

_ESCAPE = re.compile(r"\\u[0-9a-f]{4}|\\U[0-9a-f]{8}")
"""A character of a field's name that cannot be seen."""

MAX_REASON_CHARS = 3000
"""Leaves room for what could not be listed, below the bound of a text in an event."""

PROBLEMS_NAMED = 10
"""Problems named in the reason; the others are in the event's lists."""

MAX_WARNINGS = 50

QUOTED_CHARS = 300
"""Of a page's URL, and of why it is missing."""

LISTED_BYTES = MAX_EVENT_BYTES - 100_000
"""What the whole event may take with its lists; the rest is slack for its envelope."""

_P = TypeVar("_P", bound=Part)


@dataclass(frozen=True, slots=True)
class Terms:
    """A dataset file's bounds for the verdict."""

    max_rejected_ratio: float = Dataset.model_fields["max_rejected_ratio"].default
    max_missing_ratio: float = Dataset.model_fields["max_missing_ratio"].default
    formats: Collection[str] = ()
    """What a request without formats asks for."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """By column, where its values are in a record."""
    key: Collection[str] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> "Terms":
        return cls(
            dataset.max_rejected_ratio,
            dataset.max_missing_ratio,
            dataset.formats,
            {column.name: column.source_path or column.name for column in dataset.read_columns},
            dataset.key,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    status: RunStatus
    reason: str | None


def decide(
    facts: RunFacts,
    summaries: Mapping[str, DatasetSummary],
    checks: Sequence[CheckResult],
    terms: Mapping[str, Terms],
) -> Verdict:
    if facts.cancelled:
        return Verdict("cancelled", "the run was cancelled")
    losses = _losses(facts, summaries, terms)
    if failures := _failures(facts, summaries, checks, terms, losses):
        return Verdict("failed", _join(failures))
    if losses := losses + _unwritten(facts, terms):
        return Verdict("partial", _join(losses))
    return Verdict("succeeded", None)


def complete(
    facts: RunFacts,
    checks: Sequence[CheckResult],
    terms: Mapping[str, Terms],
    finished_at: datetime,
) -> RunCompleted:
    """The value of `run.completed`. `dead` and `missing` have the first that fit; `reason` counts the others."""
    summaries = summarize(facts)
    verdict = decide(facts, summaries, checks, terms)
    completed = RunCompleted(
        run_id=facts.run_id,
        status=verdict.status,
        reason=verdict.reason,
        requested_at=facts.requested_at,
        started_at=facts.started_at,
        from_stage=facts.from_stage,
        finished_at=finished_at,
        datasets=summaries,
        checks=tuple(checks),
        warnings=_warnings(facts, terms),
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


def failed_completion(completed: RunCompleted, cause: str) -> RunCompleted:
    """The same run as failed, because it could not be completed."""
    text = printable(f"the run could not be completed: {cause}".encode("utf-8", "replace").decode())
    return completed.model_copy(update={"status": "failed", "reason": _join([text])})


def _failures(
    facts: RunFacts,
    summaries: Mapping[str, DatasetSummary],
    checks: Sequence[CheckResult],
    terms: Mapping[str, Terms],
    losses: Sequence[str],
) -> list[str]:
    """Why the run is failed, the cause first."""
    if facts.refused is not None:
        return [f"refused: {facts.refused}"]
    found = mismatches(summaries, facts.stages)
    if _nothing_delivered(facts, summaries):
        found += [*(losses or _rejected_rows(facts, summaries, terms)), "nothing could be delivered"]
        losses = ()
    found += [_check_failed(check) for check in checks if not check.passed and check.severity == "error"]
    return [*found, *losses] if found else []


def _nothing_delivered(facts: RunFacts, summaries: Mapping[str, DatasetSummary]) -> bool:
    expected = (
        facts.missing_total > 0
        or any(summary.rows_crawled or summary.batches_dead for summary in summaries.values())
        or any(plan.rows for plan in facts.plans.values())
    )
    delivered = any(
        summary.rows_loaded or summary.rows_superseded or summary.rows_stored or summary.rows_filtered
        for summary in summaries.values()
    )
    return expected and not (delivered or _only_converted(facts))


def _only_converted(facts: RunFacts) -> bool:
    """Whether the run was to write exports alone, and has rows for them."""
    rows = sum(t.read for t in facts.totals if (t.stage, t.status) == ("converter", "done"))
    return facts.from_stage == "converter" and rows > 0


def _losses(
    facts: RunFacts, summaries: Mapping[str, DatasetSummary], terms: Mapping[str, Terms]
) -> list[str]:
    """What of the datasets did not arrive, each cause told once."""
    found = []
    for name, summary in summaries.items():
        bounds = terms.get(name, Terms())
        sentences = [*_gone(facts, name, summary), *_short(facts, name, summary, bounds)]
        if sentences:
            found.append(f"{name}: {', '.join(sentences)}")
        if (rejected := _too_many_rejected(facts, name, summary, bounds)) is not None:
            found.append(rejected)
        if refused := sum(t.rejected for t in facts.totals if (t.dataset, t.stage) == (name, "loader")):
            found.append(f"{name}: PostgreSQL refused {_counted(refused, 'row')}")
    return found


def _gone(facts: RunFacts, name: str, summary: DatasetSummary) -> list[str]:
    """Pages and batches; a batch that is dead because its pages are missing is told by them."""
    pages, cause = facts.missing_pages.get(name, 0), facts.causes.get(name)
    found = [_missing_pages(facts, name, pages)] if pages else []
    if summary.batches_dead and not (pages and cause is not None and cause.stage == "crawler"):
        found.append(_dead(facts, name, summary.batches_dead))
    return found


def _short(facts: RunFacts, name: str, summary: DatasetSummary, bounds: Terms) -> list[str]:
    """Fewer records than the source promised, those that came twice counted once."""
    promised, came = summary.rows_promised, distinct_records(facts, name)
    if promised is None or came >= promised * (1 - Decimal(str(bounds.max_missing_ratio))):
        return []
    return [f"{came} of {promised} promised records came"]


def _too_many_rejected(facts: RunFacts, name: str, summary: DatasetSummary, bounds: Terms) -> str | None:
    # Decimal: 0.29 x 100 is below 29 in binary floating point.
    ratio = Decimal(str(bounds.max_rejected_ratio))
    if summary.rows_rejected <= ratio * summary.rows_crawled:
        return None
    share = 100 * summary.rows_rejected / max(1, summary.rows_crawled)
    return f"{_rejected(facts, name, summary, bounds)} ({share:.4g} %, at most {100 * float(ratio):.4g} %)"


def _missing_pages(facts: RunFacts, dataset: str, pages: int) -> str:
    """The crawler names what is missing, which may be a page, all after it, or the source's one answer."""
    first = next((page for page in facts.missing if page.dataset == dataset), None)
    counted = f"{_counted(pages, 'page')} {'is' if pages == 1 else 'are'} missing"
    if first is None:
        return counted
    told = f"{first.reason[:QUOTED_CHARS]} ({first.url[:QUOTED_CHARS]})"
    return told if pages == 1 else f"{counted}, the first: {told}"


def _rejected_rows(
    facts: RunFacts, summaries: Mapping[str, DatasetSummary], terms: Mapping[str, Terms]
) -> list[str]:
    return [
        _rejected(facts, name, summary, terms.get(name, Terms()))
        for name, summary in summaries.items()
        if summary.rows_rejected
    ]


def _rejected(facts: RunFacts, name: str, summary: DatasetSummary, terms: Terms) -> str:
    """With the key that no record has before the number of records that lack it."""
    reasons = sorted(summary.rejected_by_reason.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{rows} {reason_text(reason)}" for reason, rows in reasons)
    keyless = [
        _absence(absent, terms)
        for absent in facts.absent
        if absent.dataset == name and absent.column in terms.key
    ]
    cause = f"{'; '.join(keyless)}; " if keyless and Reason.NO_KEY in summary.rejected_by_reason else ""
    return f"{name}: {cause}{summary.rows_rejected} of {_counted(summary.rows_crawled, 'row')} rejected" + (
        f": {told}" if told else ""
    )


def _unwritten(facts: RunFacts, terms: Mapping[str, Terms]) -> list[str]:
    """Formats that were asked for and failed, with the number of batches that lack them."""
    lacking: Counter[tuple[str, str]] = Counter()
    for group in facts.partly_converted:
        own = terms.get(group.dataset, Terms()).formats
        asked = own if facts.formats is None else facts.formats
        written = {format_label(name) for name in group.written}
        # The dataset's file may have changed since: that something failed is certain, what it was is then not.
        for name in [name for name in asked if name not in written] or ["an export"]:
            lacking[group.dataset, name] += group.batches
    return [
        f"{dataset}: {name} could not be written for {batches} of {_counted(facts.plans[dataset].batches, 'batch')}"
        for (dataset, name), batches in lacking.items()
    ]


def _counted(number: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"1 {what}" if number == 1 else f"{number} {plural}"


def _dead(facts: RunFacts, dataset: str, batches: int) -> str:
    cause = facts.causes.get(dataset)
    told = "" if cause is None else f" at the {cause.stage}: {cause.detail or cause.reason}"
    many = ", the first" if batches > 1 and told else ""
    return f"{_counted(batches, 'batch')} {'is' if batches == 1 else 'are'} dead{many}{told}"


def _check_failed(check: CheckResult) -> str:
    if isinstance(check.value, str):
        return f"check {check.name} on {check.dataset} could not run: {check.value}"
    bounds = [f"at {'least' if side == 'min' else 'most'} {bound}" for side, bound in check.expected.items()]
    return f"check {check.name} on {check.dataset} failed: {', '.join([str(check.value), *bounds])}"


def _warnings(facts: RunFacts, terms: Mapping[str, Terms]) -> tuple[str, ...]:
    found = [
        f"{absent.dataset}: {_absence(absent, terms.get(absent.dataset, Terms()))}" for absent in facts.absent
    ]
    found += [f"{remark.dataset}: {remark.sentence}" for remark in facts.remarks]
    for name, plan in facts.plans.items():
        came = distinct_records(facts, name)
        if plan.rows is not None and came > plan.rows:
            found.append(f"{name}: the source promised {_counted(plan.rows, 'record')}, and {came} came")
    return tuple(text[:MAX_REASON_CHARS] for text in found[:MAX_WARNINGS])


def _absence(absent: AbsentColumn, terms: Terms) -> str:
    field_name = terms.fields.get(absent.column, absent.column)
    seen = {_ESCAPE.sub("", name).strip('"'): name for name in absent.unnamed}
    near = get_close_matches(field_name, seen, n=1, cutoff=0.5)
    hint = f"; the nearest that they have is {seen[near[0]]}" if near else ""
    if absent.column in terms.key:
        return f"no record has the field {field_name}, which the key {absent.column} needs{hint}"
    return f"no record has the field {field_name}, so the column {absent.column} is null{hint}"


def _join(problems: Sequence[str]) -> str:
    named = list(problems[:PROBLEMS_NAMED])
    if len(problems) > PROBLEMS_NAMED:
        named.append(f"and {len(problems) - PROBLEMS_NAMED} more")
    text = "; ".join(named)
    return text if len(text) <= MAX_REASON_CHARS else text[: MAX_REASON_CHARS - 1] + "…"


def _fitting(entries: Sequence[_P], room: int) -> tuple[tuple[_P, ...], int]:
    """The first entries that fit into the bytes, and the bytes that are left."""
    kept = []
    for entry in entries:
        size = len(encode(entry)) + 1
        if size > room:
            break
        room -= size
        kept.append(entry)
    return tuple(kept), room
