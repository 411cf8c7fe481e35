"""Is a request for a run to be accepted? Judged field by field, so that every complaint is told at once.

A request that is no JSON object never gets here; whatever else is wrong gives a refused run, never a lost one.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from services.crawler.domain.naming import joined, listed
from services.crawler.domain.replays import judge_replay
from shared.events.ids import is_run_id
from shared.events.models import MAX_TEXT_CHARS, REVISION, VERSION, CrawlRequest, DatasetParameters
from shared.events.names import SUPPORTED_FORMATS

FIELDS = frozenset(
    {
        "version",
        "revision",
        "run_id",
        "datasets",
        "requested_by",
        "parameters",
        "formats",
        "replay_of",
        "from_stage",
    }
)
MAX_LIMIT = 10**12
MAX_REASON_CHARS = 2000
QUOTED_CHARS = 60

Complain = Callable[[str], None]
WhyRefused = Callable[[str], str | None]


def judge(
    document: Mapping[str, Any],
    *,
    derived_id: str,
    requested_at: datetime,
    known: Collection[str],
    replayed: CrawlRequest | None = None,
    why_refused: WhyRefused = lambda _: None,
) -> CrawlRequest:
    """The accepted request, or one whose `refused` says in sentences why not.

    `derived_id` names the run where the request gives no id that could be used. A null counts as absent.
    `replayed` is the request of the run that this one replays, where there is such a run; what it has can be replayed
    whatever the files of today say. `why_refused` tells of a dataset that is not known why its file cannot be used.
    """
    fields = {name: value for name, value in document.items() if value is not None}
    complaints: list[str] = []
    complain = complaints.append
    _check_version(fields, complain)
    run_id = _run_id(fields, derived_id, complain)
    replay = judge_replay(fields, replayed, complain)
    if replay is None:
        datasets = _datasets(fields, known, why_refused, complain)
        parameters = _parameters(fields, datasets, known, complain)
    else:
        parameters = {}
        datasets = () if replay.datasets is None else _replayed_datasets(replay.datasets, known, complain)
    formats = _formats(fields, complain)
    requested_by = _requested_by(fields, complain)
    if complaints:
        refused = joined(complaints, MAX_REASON_CHARS)
        return CrawlRequest(
            run_id=run_id, datasets=(), requested_at=requested_at, requested_by=requested_by, refused=refused
        )
    return CrawlRequest(
        run_id=run_id,
        datasets=datasets,
        requested_at=requested_at,
        requested_by=requested_by,
        parameters=parameters,
        formats=formats if replay is None or formats is not None else replay.formats,
        replay_of=None if replay is None else replay.run_id,
        from_stage=None if replay is None else replay.from_stage,
    )


def _check_version(fields: Mapping[str, Any], complain: Complain) -> None:
    version, revision = fields.get("version", VERSION), fields.get("revision", REVISION)
    if not _is_integer(version) or version != VERSION:
        complain(f"version: {_quote(version)} is not known, only {VERSION}")
        return
    if not _is_integer(revision) or revision < 0:
        complain(f"revision: {_quote(revision)} is no integer from 0 up")
        return
    # A newer writer may have added fields; it promises that they can be ignored.
    unknown = sorted(set(fields) - FIELDS) if revision <= REVISION else []
    if unknown:
        names = ", ".join(_quote(name) for name in unknown[:5])
        complain(f"unknown fields: {names}; known are {', '.join(sorted(FIELDS))}")


def _run_id(fields: Mapping[str, Any], derived_id: str, complain: Complain) -> str:
    asked = fields.get("run_id")
    if asked is None:
        return derived_id
    if isinstance(asked, str) and is_run_id(asked):
        return asked
    complain(
        f"run_id: {_quote(asked)} is no run id: 1 to 128 letters, digits, '.', '_' or '-' are expected, "
        f"the first a letter or digit; this run is named {derived_id} instead"
    )
    return derived_id


def _replayed_datasets(asked: Any, known: Collection[str], complain: Complain) -> tuple[str, ...]:
    """Those of the old run are known, whatever the files of today say; of others it was complained already."""
    if isinstance(asked, list) and asked and all(isinstance(name, str) for name in asked):
        return tuple(dict.fromkeys(asked))
    return _datasets({"datasets": asked}, known, lambda _: None, complain)


def _datasets(
    fields: Mapping[str, Any], known: Collection[str], why_refused: WhyRefused, complain: Complain
) -> tuple[str, ...]:
    asked = fields.get("datasets")
    if asked is None:
        complain(f"datasets: missing; name at least one of {listed(known)}")
        return ()
    if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
        complain(f"datasets: a list of names is expected, not {_quote(asked)}")
        return ()
    if not asked:
        complain(f"datasets: the list is empty; name at least one of {listed(known)}")
    names = tuple(dict.fromkeys(asked))
    unknown = []
    for name in names:
        if name in known:
            continue
        if (why := why_refused(name)) is not None:
            complain(f"datasets: {name} cannot be crawled: {why}")
        else:
            unknown.append(name)
    if unknown:
        quoted = ", ".join(_quote(name) for name in unknown[:5])
        which = "is" if len(unknown) == 1 else "are"
        complain(f"datasets: {quoted} {which} not known; known are {listed(known, unknown[0])}")
    return names


def _parameters(
    fields: Mapping[str, Any], datasets: tuple[str, ...], known: Collection[str], complain: Complain
) -> dict[str, DatasetParameters]:
    asked = fields.get("parameters", {})
    if not isinstance(asked, dict):
        complain(f"parameters: an object of datasets is expected, not {_quote(asked)}")
        return {}
    accepted = {}
    for name, values in asked.items():
        if name not in known:
            complain(f"parameters: {_quote(name)} is not known; known are {listed(known, name)}")
        elif name not in datasets:
            complain(f"parameters: {name} is not among the datasets asked for")
        elif not isinstance(values, dict):
            complain(f"parameters.{name}: an object is expected, not {_quote(values)}")
        else:
            accepted[name] = _parameters_of(name, values, complain)
    return accepted


def _parameters_of(dataset: str, values: Mapping[str, Any], complain: Complain) -> DatasetParameters:
    if unknown := sorted(set(values) - {"limit"}):
        quoted = ", ".join(_quote(name) for name in unknown[:5])
        complain(f"parameters.{dataset}: {quoted} is no parameter; the only one is limit")
    limit = values.get("limit")
    if limit is not None and not (_is_integer(limit) and 0 <= limit <= MAX_LIMIT):
        complain(
            f"parameters.{dataset}.limit: an integer from 0 to {MAX_LIMIT} is expected, not {_quote(limit)}"
        )
        limit = None
    return DatasetParameters(limit=limit)


def _formats(fields: Mapping[str, Any], complain: Complain) -> tuple[Any, ...] | None:
    asked = fields.get("formats")
    if asked is None:
        return None
    if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
        complain(f"formats: a list of names is expected, not {_quote(asked)}")
        return None
    names = tuple(dict.fromkeys(asked))
    for name in names:
        if name not in SUPPORTED_FORMATS:
            complain(
                f"formats: {_quote(name)} is not supported in this version; supported are "
                + " and ".join(SUPPORTED_FORMATS)
            )
    return names


def _requested_by(fields: Mapping[str, Any], complain: Complain) -> str | None:
    asked = fields.get("requested_by")
    if asked is None or (isinstance(asked, str) and len(asked) <= MAX_TEXT_CHARS):
        return asked
    complain(f"requested_by: a text of at most {MAX_TEXT_CHARS} characters is expected, not {_quote(asked)}")
    return None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= QUOTED_CHARS else text[: QUOTED_CHARS - 1] + "…"
