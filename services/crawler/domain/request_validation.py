"""Validates a request for a run, field by field: every error is reported at once.

A value that is not a JSON object never gets here. A request with errors becomes a rejected run, never a lost one.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast, get_args

from services.crawler.domain.naming import join_errors, list_names
from shared.events.ids import is_dataset_name, is_run_id
from shared.events.models import MAX_TEXT_CHARS, REVISION, VERSION, CrawlRequest, DatasetParameters
from shared.events.names import SUPPORTED_FORMATS, Format
from shared.events.topology import ReplayStage

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
REPLAY_STAGES: tuple[ReplayStage, ...] = get_args(ReplayStage)
PARAMETERS = frozenset({"limit", "since", "until", "full", "params"})
MAX_LIMIT = 10**12
MAX_BOUND_CHARS = 64
MAX_PARAMS = 100
MAX_REASON_CHARS = 2000
QUOTED_CHARS = 60

FileError = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class _Replay:
    """The fields of a replay. They are usable only where the request has no errors."""

    run_id: str
    from_stage: ReplayStage
    datasets: Any
    """As requested; else all of the replayed run. None: the run to replay does not exist, or was rejected."""
    formats: tuple[Format, ...] | None
    """Those of the replayed run."""


def replayed_run_id(document: Mapping[str, Any]) -> str | None:
    """The run that a request wants replayed; None where it names none, or not by a run id."""
    requested = document.get("replay_of")
    return requested if isinstance(requested, str) and is_run_id(requested) else None


def validate_request(
    document: Mapping[str, Any],
    *,
    derived_id: str,
    requested_at: datetime,
    known: Collection[str],
    replayed: CrawlRequest | None = None,
    file_error: FileError = lambda _: None,
) -> CrawlRequest:
    """The accepted request, or one whose `refused` lists the errors.

    `derived_id` is the run's id where the request has no usable one. A null counts as absent.
    `replayed` is the stored request of the run that this one replays, None where that run does not exist; its datasets
    can be replayed whatever today's files contain. `file_error` tells why the file of an unknown dataset is not used.
    """
    fields = {name: value for name, value in document.items() if value is not None}
    return _Validation(fields, known, file_error).run(derived_id, requested_at, replayed)


class _Validation:
    """One request, and the errors found in it so far."""

    def __init__(self, fields: Mapping[str, Any], known: Collection[str], file_error: FileError) -> None:
        self._fields = fields
        self._known = known
        self._file_error = file_error
        self._errors: list[str] = []

    def run(self, derived_id: str, requested_at: datetime, replayed: CrawlRequest | None) -> CrawlRequest:
        self._check_version()
        run_id = self._run_id(derived_id)
        replay = self._replay(replayed)
        if replay is None:
            datasets = self._datasets(self._fields.get("datasets"), self._file_error)
            parameters = self._parameters(datasets)
        else:
            datasets, parameters = self._replayed_datasets(replay.datasets), {}
        formats = self._formats()
        requested_by = self._requested_by()
        if self._errors:
            return CrawlRequest(
                run_id=run_id,
                datasets=(),
                requested_at=requested_at,
                requested_by=requested_by,
                refused=join_errors(self._errors, MAX_REASON_CHARS),
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

    def _add_error(self, sentence: str) -> None:
        self._errors.append(sentence)

    def _check_version(self) -> None:
        version, revision = self._fields.get("version", VERSION), self._fields.get("revision", REVISION)
        if not _is_integer(version) or version != VERSION:
            self._add_error(f"version: {_quote(version)} is not known, only {VERSION}")
            return
        if not _is_integer(revision) or revision < 0:
            self._add_error(f"revision: {_quote(revision)} is not an integer from 0 up")
            return
        # A newer writer may have added fields; it promises that they can be ignored.
        unknown = sorted(set(self._fields) - FIELDS) if revision <= REVISION else []
        if unknown:
            names = ", ".join(_quote(name) for name in unknown[:5])
            self._add_error(f"unknown fields: {names}; known are {', '.join(sorted(FIELDS))}")

    def _run_id(self, derived_id: str) -> str:
        requested = self._fields.get("run_id")
        if requested is None:
            return derived_id
        if isinstance(requested, str) and is_run_id(requested):
            return requested
        self._add_error(
            f"run_id: {_quote(requested)} is no run id: 1 to 128 letters, digits, '.', '_' or '-' are expected, "
            f"the first a letter or digit; this run is named {derived_id} instead"
        )
        return derived_id

    def _replay(self, replayed: CrawlRequest | None) -> _Replay | None:
        """None: the request is not a replay."""
        fields = self._fields
        if "replay_of" not in fields and "from_stage" not in fields:
            return None
        run_id, stage = replayed_run_id(fields), fields.get("from_stage")
        if "replay_of" not in fields:
            self._add_error("replay_of: missing; from_stage names where a replay begins")
        elif run_id is None:
            self._add_error(f"replay_of: {fields['replay_of']!r:.60} is no run id")
        elif replayed is None:
            self._add_error(f"replay_of: run {run_id} is not known")
        elif replayed.refused is not None:
            self._add_error(f"replay_of: run {run_id} was refused, so it has nothing to replay")
        if stage not in REPLAY_STAGES:
            self._add_error(f"from_stage: one of {', '.join(REPLAY_STAGES)} is expected, not {stage!r:.60}")
        if fields.get("parameters"):
            self._add_error("parameters: a replay asks no source, so it takes none")
        return _Replay(
            run_id=run_id or "",
            from_stage=cast("ReplayStage", stage),
            datasets=self._datasets_to_replay(replayed),
            formats=None if replayed is None else replayed.formats,
        )

    def _datasets_to_replay(self, replayed: CrawlRequest | None) -> Any:
        if replayed is None or replayed.refused is not None:
            return None
        requested = self._fields.get("datasets", list(replayed.datasets))
        if isinstance(requested, list) and (
            more := [name for name in requested if name not in replayed.datasets]
        ):
            names = ", ".join(f"{name!r:.60}" for name in more[:5])
            known = list_names(replayed.datasets, str(more[0]))
            self._add_error(f"datasets: run {replayed.run_id} has no {names}, only {known}")
        return requested

    def _replayed_datasets(self, requested: Any) -> tuple[str, ...]:
        """Those of the replayed run are known; the error about any other is recorded already."""
        if requested is None:
            return ()
        if isinstance(requested, list) and requested and all(isinstance(name, str) for name in requested):
            return tuple(dict.fromkeys(requested))
        return self._datasets(requested, lambda _: None)

    def _datasets(self, requested: Any, file_error: FileError) -> tuple[str, ...]:
        if requested is None:
            self._add_error(f"datasets: missing; name at least one of {list_names(self._known)}")
            return ()
        if not isinstance(requested, list) or not all(isinstance(name, str) for name in requested):
            self._add_error(f"datasets: a list of names is expected, not {_quote(requested)}")
            return ()
        if not requested:
            self._add_error(f"datasets: the list is empty; name at least one of {list_names(self._known)}")
        names = tuple(dict.fromkeys(requested))
        unknown = []
        for name in names:
            if name in self._known:
                continue
            if (error := file_error(name)) is not None:
                self._add_error(f"datasets: {name} cannot be crawled: {error}")
            else:
                unknown.append(name)
        if unknown:
            quoted = ", ".join(_quote(name) for name in unknown[:5])
            which = "is" if len(unknown) == 1 else "are"
            known = list_names(self._known, unknown[0])
            self._add_error(f"datasets: {quoted} {which} not known; known are {known}")
        return names

    def _parameters(self, datasets: tuple[str, ...]) -> dict[str, DatasetParameters]:
        requested = self._fields.get("parameters", {})
        if not isinstance(requested, dict):
            self._add_error(f"parameters: an object of datasets is expected, not {_quote(requested)}")
            return {}
        accepted = {}
        for name, values in requested.items():
            if name not in self._known:
                known = list_names(self._known, name)
                self._add_error(f"parameters: {_quote(name)} is not known; known are {known}")
            elif name not in datasets:
                self._add_error(f"parameters: {name} is not among the datasets asked for")
            elif not isinstance(values, dict):
                self._add_error(f"parameters.{name}: an object is expected, not {_quote(values)}")
            else:
                accepted[name] = self._parameters_of(name, values)
        return accepted

    def _parameters_of(self, dataset: str, values: Mapping[str, Any]) -> DatasetParameters:
        if unknown := sorted(set(values) - PARAMETERS):
            quoted = ", ".join(_quote(name) for name in unknown[:5])
            known = ", ".join(sorted(PARAMETERS))
            self._add_error(f"parameters.{dataset}: {quoted} is not a parameter; known are {known}")
        limit = values.get("limit")
        if limit is not None and not (_is_integer(limit) and 0 <= limit <= MAX_LIMIT):
            expected = f"an integer from 0 to {MAX_LIMIT} is expected"
            self._add_error(f"parameters.{dataset}.limit: {expected}, not {_quote(limit)}")
            limit = None
        return DatasetParameters(
            limit=limit,
            since=self._bound(dataset, values, "since"),
            until=self._bound(dataset, values, "until"),
            full=self._full(dataset, values),
            params=self._params(dataset, values),
        )

    def _bound(self, dataset: str, values: Mapping[str, Any], name: str) -> str | None:
        value = values.get(name)
        if value is None or (isinstance(value, str) and 0 < len(value) <= MAX_BOUND_CHARS):
            return value
        if _is_integer(value):
            return str(value)
        self._add_error(
            f"parameters.{dataset}.{name}: a day, a time or a number is expected, not {_quote(value)}"
        )
        return None

    def _full(self, dataset: str, values: Mapping[str, Any]) -> bool:
        full = values.get("full", False)
        if isinstance(full, bool):
            return full
        self._add_error(f"parameters.{dataset}.full: true or false is expected, not {_quote(full)}")
        return False

    def _params(self, dataset: str, values: Mapping[str, Any]) -> dict[str, Any]:
        params = values.get("params") or {}
        if not isinstance(params, dict) or len(params) > MAX_PARAMS:
            self._add_error(f"parameters.{dataset}.params: an object is expected, not {_quote(params)}")
            return {}
        accepted: dict[str, Any] = {}
        for name, value in params.items():
            items = value if isinstance(value, list) else [value]
            is_value = all(one is None or isinstance(one, str | int | float) for one in items)
            if not is_value or len(str(value)) > MAX_TEXT_CHARS or not is_dataset_name(name):
                self._add_error(f"parameters.{dataset}.params: {_quote(name)} is no value of a parameter")
            else:
                accepted[name] = tuple(value) if isinstance(value, list) else value
        return accepted

    def _formats(self) -> tuple[Any, ...] | None:
        requested = self._fields.get("formats")
        if requested is None:
            return None
        if not isinstance(requested, list) or not all(isinstance(name, str) for name in requested):
            self._add_error(f"formats: a list of names is expected, not {_quote(requested)}")
            return None
        names = tuple(dict.fromkeys(requested))
        *others, last = SUPPORTED_FORMATS
        supported = f"{', '.join(others)} and {last}"
        for name in names:
            if name not in SUPPORTED_FORMATS:
                unsupported = f"{_quote(name)} is not supported in this version"
                self._add_error(f"formats: {unsupported}; supported are {supported}")
        return names

    def _requested_by(self) -> str | None:
        requested = self._fields.get("requested_by")
        if requested is None or (isinstance(requested, str) and len(requested) <= MAX_TEXT_CHARS):
            return requested
        expected = f"a text of at most {MAX_TEXT_CHARS} characters is expected"
        self._add_error(f"requested_by: {expected}, not {_quote(requested)}")
        return None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= QUOTED_CHARS else text[: QUOTED_CHARS - 1] + "…"
