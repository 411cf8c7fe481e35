"""Why a document is not a dataset: one sentence for the author of the file, and the line it is about.

No word of the library that checks the model gets out of here.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from shared.datasets.document import Mark, as_read
from shared.datasets.faults import FaultError
from shared.datasets.model import CHECK_KINDS, LISTED, WRITTEN, Dataset
from shared.datasets.pagination import PAGINATION_KINDS
from shared.datasets.type_spelling import type_forms
from shared.events.ids import DATASET_PATTERN
from shared.events.names import SUPPORTED_FORMATS

MAX_QUOTED_CHARS = 60

CLOSE = 0.6
"""A name that is less like any other is not guessed: the names that there are help more."""

_UNIONS: dict[str, tuple[str, ...]] = {
    "pagination": tuple(PAGINATION_KINDS),
    "checks": CHECK_KINDS,
}
"""Fields whose `kind` decides which fields there are; the library's path names the kind after them."""


def _one_of(kinds: Iterable[str]) -> str:
    *others, last = (f"`kind: {kind}`" for kind in kinds)
    return f"{', '.join(others)} or {last}"


def _examples_of(place: str, models: Iterable[type[BaseModel]]) -> dict[str, str]:
    return {
        f"{place}.{name}": f"`{name}: {field.examples[0]}`"
        for model in models
        for name, field in model.model_fields.items()
        if field.examples
    }


_EXAMPLES = {
    "name": "`name: orders`",
    "source": "`source: {name: shop, kind: api, base_url: https://api.example.org, path: /orders, pagination: …}`",
    "source.name": "`name: shop`",
    "source.kind": "`kind: api`",
    "source.base_url": "`base_url: https://api.example.org`",
    "source.path": "`path: /orders`",
    "source.pagination": "`pagination: {kind: page, page_param: page, size_param: per_page}` or `pagination: {kind: none}`",
    "source.pagination.kind": _one_of(PAGINATION_KINDS),
    "source.records_path": "`records_path: [data, items]`",
    "table": "`table: shop_orders`",
    "key": "`key: [id]`",
    "columns": "`columns: [{name: id, type: int64}]`",
    "columns.*": "`{name: id, type: int64}`",
    "columns.*.name": "`name: id`",
    "columns.*.type": "`type: string`",
    "formats": "`formats: [parquet, csv]`",
    "checks": "`checks: [{kind: row_count, min: 1}]`",
    "checks.*": "`{kind: row_count, min: 1}`",
    "checks.*.kind": _one_of(CHECK_KINDS),
    "checks.*.column": "`column: title`",
    "checks.*.columns": "`columns: [id]`",
    **_examples_of("source.pagination", PAGINATION_KINDS.values()),
}
"""By the path of the field. The options of a kind of pagination bring their own."""


def explain(
    error: ValidationError, mark: Mark, variables: Mapping[tuple[str, ...], str]
) -> list[tuple[int, str]]:
    """The line, from 1, and the reason of each mistake; what is best mended first comes first.

    `variables` names those that replaced a value of the file, by field.
    """
    found = [_of_written_source(item, mark) for item in error.errors(include_url=False)]
    found = [item for item in found if not _is_of_another_form(item, found)]
    faults = [
        (item["type"] != "extra_forbidden", *_fault(item, mark, variables))
        for item in found
        if not _follows_from_another(item, found)
    ]
    # A name that is not known explains one that is missing.
    return [(line, reason) for _, line, reason in sorted(set(faults))]


def explain_fault(mark: Mark, at: tuple[str | int, ...], reason: str) -> tuple[int, str]:
    """The line, and the reason with its field, of what was found after the model was checked."""
    return mark.at(at)[0], f"{_where(at, '')}: {reason}"


def _of_written_source(item: Any, mark: Mark) -> Any:
    """Of a source that writes its request: the path as the file has it, without the library's steps for forms."""
    place = tuple(step for step in item["loc"] if step != LISTED)
    if WRITTEN not in place:
        return {**item, "loc": place}
    real: tuple[str | int, ...] = ()
    here: Mark | None = mark
    for number, step in enumerate(place):
        _, inner = mark.at((*real, step))
        is_named = inner is not None and inner is not here and _has(here, step)
        is_last = number == len(place) - 1 and item["type"] in {"missing", "extra_forbidden"}
        if is_named or is_last:
            real = (*real, step)
            here = inner if is_named else here
    return {**item, "loc": real, "models": place}


def _has(mark: Mark | None, step: str | int) -> bool:
    if mark is None:
        return False
    return step in mark.fields if isinstance(step, str) else step < len(mark.items)


def _is_of_another_form(item: Any, found: list[Any]) -> bool:
    """A value of one form is told once more as no value of the others: what tells most stays."""
    if "models" not in item:
        return False
    place, told = item["loc"], item["type"] not in _FORM_ERRORS
    others = [other for other in found if other is not item and "models" in other]
    deeper = any(other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in others)
    better = any(other["loc"] == place and other["type"] not in _FORM_ERRORS for other in others)
    return not told and (deeper or better)


_FORM_ERRORS = frozenset(
    {
        "string_type",
        "tuple_type",
        "model_type",
        "dict_type",
        "int_type",
        "int_parsing",
        "literal_error",
        "none_required",
    }
)


def _follows_from_another(item: Any, found: list[Any]) -> bool:
    """A list whose only item is wrong is called too short as well; a type that a comma cuts leaves a field behind."""
    place = item["loc"]
    if item["type"] == "extra_forbidden" and str(place[-1]).endswith((")", ">")):
        return any(other["loc"] == (*place[:-1], "type") for other in found)
    return item["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in found
    )


def _fault(item: Any, mark: Mark, variables: Mapping[tuple[str, ...], str]) -> tuple[int, str]:
    cause = item.get("ctx", {}).get("error")
    at = cause.at if isinstance(cause, FaultError) else ()
    if item["type"] == "union_tag_invalid":
        at = ("kind",)
    steps = (*_steps(item["loc"]), *at)
    line, written = mark.at(steps)
    text = written.text if written is not None else None
    reason = str(cause) if isinstance(cause, FaultError) else _reason(item, steps, text)
    if isinstance(cause, FaultError) and cause.other:
        return line, f"{reason} ({_lines(mark.at(cause.other)[0], line)})"
    where = variables.get(tuple(str(step) for step in steps)) or _where(steps, item["type"])
    return line, f"{where}: {reason}" if where else reason


def _lines(first: int, second: int) -> str:
    return f"line {first}" if first == second else f"lines {first} and {second}"


def _where(steps: tuple[str | int, ...], kind: str) -> str:
    """The field as a path; items are counted from 1. What is missing or unknown is named in the sentence itself."""
    shown = steps[:-1] if kind in {"missing", "extra_forbidden"} else steps
    return "".join(f" {step + 1}" if isinstance(step, int) else f".{step}" for step in shown).lstrip(".")


def _steps(loc: tuple[str | int, ...]) -> Iterator[str | int]:
    """The path in the file: without the library's own steps for kinds and for the types that a fill may have."""
    for place, step in enumerate(loc):
        above = next((name for name in reversed(loc[:place]) if isinstance(name, str)), None)
        if (
            above in _UNIONS
            and step in _UNIONS[above]
            and (above != "checks" or isinstance(loc[place - 1], int))
        ):
            continue
        if above == "fill":
            return
        yield step


def _reason(item: Any, steps: tuple[str | int, ...], text: str | None) -> str:
    kind, value = item["type"], item["input"]
    if kind == "missing":
        return f"`{steps[-1]}` is missing{_example(steps)}"
    if kind == "extra_forbidden":
        return _unknown(item.get("models", item["loc"]), str(steps[-1]))
    if kind in _OWN_WORDS:
        return str(item["msg"])
    if kind == "string_pattern_mismatch" and "models" in item and steps[-1] not in {"name", "parent"}:
        return f"{_quoted(value)} is not written as this field is: {_PATTERNS.get(str(steps[-1]), 'see the documentation')}"
    if kind == "string_pattern_mismatch":
        return _no_name(str(value), steps)
    return (
        _of_kind(kind, steps)
        or _of_choice(item, steps, text)
        or _of_size(item, steps, text)
        or _of_type(kind, value, steps, text)
    )


def _of_kind(kind: str, steps: tuple[str | int, ...]) -> str | None:
    return f"`kind` is missing{_example((*steps, 'kind'))}" if kind == "union_tag_not_found" else None


def _of_choice(item: Any, steps: tuple[str | int, ...], text: str | None) -> str | None:
    match item["type"]:
        case "literal_error" if steps[:1] == ("formats",) and isinstance(item["input"], str):
            return _no_format(item["input"])
        case "literal_error":
            return _none_of(_choices(item["ctx"]["expected"]), item["input"], text)
        case "union_tag_invalid":
            return _none_of(_choices(item["ctx"]["expected_tags"]), item["input"]["kind"], text)
    return None


def _of_size(item: Any, steps: tuple[str | int, ...], text: str | None) -> str | None:
    value, context = item["input"], item.get("ctx", {})
    match item["type"]:
        case "too_short" | "string_too_short":
            return f"it is empty{_example(steps)}"
        case "too_long":
            return f"there are {context['actual_length']:,}: at most {context['max_length']:,} are taken"
        case "string_too_long":
            return f"it has {len(value):,} characters: at most {context['max_length']:,} are taken"
        case "greater_than_equal":
            return f"{_shown(value, text)} is too small: {_number(context['ge'])} is the least"
        case "less_than_equal":
            return f"{_shown(value, text)} is too large: {_number(context['le'])} is the most"
    return None


_OWN_WORDS = frozenset({"secret_as_text", "secret_place", "not_built"})
"""Errors whose message is for the author of the file already."""

_PATTERNS = {
    "env": "the name of a variable in capital letters, such as SHOP_TOKEN, is expected",
    "hosts": "a host such as files.example.org is expected",
}

_EXPECTED = {
    "string_type": "a text", "string_unicode": "a text",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a whole number", "finite_number": "a whole number",
    "float_type": "a number", "float_parsing": "a number",
    "bool_type": "true or false", "bool_parsing": "true or false",
    "not_a_number": "a number",
    "tuple_type": "a list", "list_type": "a list", "iterable_type": "a list",
    "model_type": "a mapping", "model_attributes_type": "a mapping", "dict_type": "a mapping",
}  # fmt: skip
"""By the library's name of the error."""


def _of_type(kind: str, value: Any, steps: tuple[str | int, ...], text: str | None) -> str:
    expected = _EXPECTED.get(kind, "something else")
    is_read_otherwise = text is not None and not isinstance(value, str)
    if steps and steps[-1] == "fill":
        expected = "one value"
    if expected in {"a text", "one value"} and is_read_otherwise and value is not None:
        return f'YAML reads {text} as {as_read(value)}: put it in quotes, "{text}"'
    if value is None:
        return _of_nothing(expected, steps, text)
    if isinstance(value, dict | list):
        return f"{expected} is expected, not {as_read(value)}{_example(steps)}"
    written = text if text is not None else str(value)
    if (
        expected == "a list"
        and written.strip()
        and written.isprintable()
        and len(written) <= MAX_QUOTED_CHARS
    ):
        return f"a list is expected: write [{written}]"
    return f"{expected} is expected, not {_shown(value, text)}{_example(steps)}"


def _of_nothing(expected: str, steps: tuple[str | int, ...], text: str | None) -> str:
    if steps[:1] == ("columns",) and steps[-1:] == ("type",) and not text:
        return f"nothing is written here: one of {type_forms()} is expected"
    if text and expected == "a text":
        return f'YAML reads {text} as nothing: put it in quotes, "{text}"'
    return f"nothing is written here: {expected} is expected{_example(steps)}"


def _none_of(choices: list[str], value: Any, text: str | None) -> str:
    written = text if text is not None and not isinstance(value, str) else value
    if value is None:
        return f"nothing is written here: one of {', '.join(choices)} is expected"
    if isinstance(value, dict | list):
        return f"one of {', '.join(choices)} is expected, not {as_read(value)}"
    near = difflib.get_close_matches(str(written).lower(), choices, 1, 0.5)
    advice = f": did you mean {near[0]}?" if near else ""
    return f"{_quoted(written)} is none of {', '.join(choices)}{advice}"


def _no_format(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), SUPPORTED_FORMATS, 1, CLOSE)
    advice = f": did you mean {near[0]}?" if near else ""
    return f"{_quoted(name)} is not supported: supported are {', '.join(SUPPORTED_FORMATS)}{advice}"


def _no_name(value: str, steps: tuple[str | int, ...]) -> str:
    snake = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value).lower()).strip("_")[:63]
    advice = ""
    if re.fullmatch(DATASET_PATTERN, snake) and snake != value:
        advice = f"; write {snake}"
        if steps[:1] == ("columns",):
            advice += " and name its path with `from:`"
    return (
        f"{_quoted(value)} cannot be a name: a small letter, then small letters, digits and _ are taken, "
        f"at most 63 in all{advice}"
    )


def _unknown(loc: tuple[str | int, ...], name: str) -> str:
    known = _fields_at(loc[:-1])
    part_of = [one for one in known if name.lower() in one.split("_")]
    swapped = [one for one in known if sorted(one) == sorted(name.lower())]
    near = swapped or difflib.get_close_matches(name.lower(), known, 1, CLOSE) or part_of
    if near:
        return f"there is no field `{_cut(name)}` here: did you mean `{near[0]}`?"
    return f"there is no field `{_cut(name)}` here: there are {', '.join(known)}"


def _fields_at(loc: tuple[str | int, ...]) -> list[str]:
    """The names that a mapping may have."""
    models: list[type[BaseModel]] = [Dataset]
    for step in loc:
        if isinstance(step, int):
            continue
        inner = [
            part
            for model in models
            for name, field in model.model_fields.items()
            if (field.alias or name) == step
            for part in _models_in(field.annotation)
        ]
        if step == WRITTEN:
            inner = [model for model in models if "request" in model.model_fields]
        elif step == LISTED:
            inner = [model for model in models if "request" not in model.model_fields]
        models = inner or [model for model in models if _kind_of(model) == step] or models
    return list(
        dict.fromkeys(field.alias or name for model in models for name, field in model.model_fields.items())
    )


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _kind_of(model: type[BaseModel]) -> Any:
    kinds = get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()
    return kinds[0] if kinds else None


def _example(steps: tuple[str | int, ...]) -> str:
    example = _EXAMPLES.get(".".join("*" if isinstance(step, int) else step for step in steps))
    return f": write {example}" if example else ""


def _choices(listed: str) -> list[str]:
    return re.findall(r"'([^']*)'", listed) or re.findall(r"\d+", listed)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,g}"


def _shown(value: Any, text: str | None) -> str:
    """As it was written, where that is known."""
    return _cut(text) if text else _quoted(value)


def _quoted(value: Any) -> str:
    return (
        _cut(value) if isinstance(value, str) and value.isprintable() and value.strip() else f"{value!r:.60}"
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_QUOTED_CHARS else text[: MAX_QUOTED_CHARS - 1] + "…"
