"""From the bytes of a record to an event, and back. Whatever is wrong raises `PermanentError` with its reason."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import orjson
from pydantic import ValidationError

from shared.errors import PermanentError
from shared.events.models import REVISION, VERSION, BatchManifest, BatchUnreadable, Event, Part
from shared.reasons import Reason

MAX_EVENT_BYTES = 1_000_000
"""Cap before parsing. Producers stay below it; the broker's own limit is 1 MiB."""

ALWAYS_SHALLOW = 200
"""Brackets that a document may open before its depth is looked at."""

_E = TypeVar("_E", bound=Event)


def parse_object(value: bytes | None) -> dict[str, Any]:
    """The JSON object in a record's value.

    Raises `PermanentError`: `too_large` above the cap, `decode` for what is not a JSON document in UTF-8 (a
    tombstone too) or nested deeper than can be written again, `schema` for JSON that is not an object.
    """
    if value is None:
        raise PermanentError(Reason.DECODE, "the record has no value")
    if len(value) > MAX_EVENT_BYTES:
        raise PermanentError(Reason.TOO_LARGE, f"{len(value)} bytes, at most {MAX_EVENT_BYTES} are read")
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise PermanentError(Reason.DECODE, f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise PermanentError(Reason.SCHEMA, f"a JSON object is expected, not {type(document).__name__}")
    if value.count(b"[") + value.count(b"{") > ALWAYS_SHALLOW:
        _check_depth(document)
    return document


def decode_event(model: type[_E], value: bytes | None) -> _E:
    """The event in a record's value. Raises `PermanentError` as `parse_object`, and `version` or `schema`."""
    document = parse_object(value)
    _check_version(document)
    revision = document.get("revision")
    # A newer writer may have added fields, in the parts of an event too; it promises that they can be ignored.
    extra: Literal["ignore"] | None = "ignore" if isinstance(revision, int) and revision > REVISION else None
    try:
        # Strict JSON mode reads times from text and refuses everything else that is not of its own type.
        return model.model_validate_json(orjson.dumps(document), extra=extra)
    except ValidationError as error:
        raise PermanentError(Reason.SCHEMA, explain(error)) from error


def decode_failure(value: bytes | None) -> BatchManifest | BatchUnreadable:
    """The value of `batch.failed`: a manifest, or what is known of an undecodable record."""
    document = parse_object(value)
    if "run_id" in document:
        return decode_event(BatchManifest, value)
    return decode_event(BatchUnreadable, value)


def encode(event: Part) -> bytes:
    return event.model_dump_json().encode()


def explain(error: ValidationError) -> str:
    """The first problems of a validation error, one line, without the input (which may hold secrets)."""
    problems = [
        f"{'.'.join(str(step) for step in item['loc']) or 'value'}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:3]
    ]
    return "; ".join(problems)[:1000]


def _check_depth(document: Mapping[str, Any]) -> None:
    """A reader takes 1,024 levels, a writer 254: a deeper document fails when it is written again."""
    try:
        orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise PermanentError(Reason.DECODE, "nested too deeply") from error


def _check_version(document: Mapping[str, Any]) -> None:
    version = document.get("version", VERSION)
    if version is True or version != VERSION or not isinstance(version, int):
        raise PermanentError(Reason.VERSION, f"version {version!r:.40} is not known, only {VERSION}")
