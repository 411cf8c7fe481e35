"""Reads dataset files. A wrong file is refused at start, with file, line and reason."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from shared.datasets.model import Dataset
from shared.errors import ConfigurationError

BUILT_IN = Path(__file__).parent
SOURCE_VARIABLE = "ONPOINT_SOURCE_{name}_{setting}"


class Catalog(Mapping[str, Dataset]):
    """All known datasets by name, in the order of their files' names."""

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self._datasets = dict(datasets)

    def __getitem__(self, name: str) -> Dataset:
        return self._datasets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)


def load_catalog(extra: Path | None = None, environment: Mapping[str, str] | None = None) -> Catalog:
    """The built-in datasets and those of `extra`; the environment may replace a source's settings.

    Raises `ConfigurationError` for an unreadable or wrong file, a name or table used twice, or a wrong variable.
    """
    environment = os.environ if environment is None else environment
    datasets: dict[str, Dataset] = {}
    tables: dict[str, str] = {}
    if extra is not None and not extra.is_dir():
        raise ConfigurationError(f"ONPOINT_DATASETS_DIR: {extra} is no folder")
    for path in [*_files(BUILT_IN), *(_files(extra) if extra else [])]:
        dataset = _read(path, environment)
        if dataset.name in datasets:
            raise ConfigurationError(f"{path}: dataset {dataset.name} is defined twice")
        if other := tables.get(dataset.table):
            raise ConfigurationError(f"{path}: table {dataset.table} already belongs to dataset {other}")
        datasets[dataset.name] = dataset
        tables[dataset.table] = dataset.name
    return Catalog(datasets)


def _files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])


def _read(path: Path, environment: Mapping[str, str]) -> Dataset:
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{path}{line}: {getattr(error, 'problem', error)}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"{path}:1: a dataset file is a mapping with name, source, table, key, columns"
        )
    if isinstance(document.get("source"), dict):
        document["source"] = _with_environment(document["source"], environment)
    try:
        return Dataset.model_validate(document)
    except ValidationError as error:
        # A name that is not known explains the one that is missing.
        first = min(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
        steps = [step for step in first["loc"] if not _is_union_tag(step)]
        where = ".".join(str(step) for step in steps)
        message = f"{path}:{_line(node, steps)}: {where + ': ' if where else ''}{first['msg'].removeprefix('Value error, ')}"
        raise ConfigurationError(message) from error


def _is_union_tag(step: int | str) -> bool:
    return step in {"page", "ids", "none", "row_count", "not_null", "unique"}


def _line(node: yaml.Node | None, steps: list[int | str]) -> int:
    """Line (from 1) of the deepest node on the way that exists; a missing field is at its parent."""
    line = 1
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _with_environment(source: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Applies `ONPOINT_SOURCE_<NAME>_{URL,REQUESTS_PER_SECOND,CONCURRENCY,PAGE_SIZE}`."""
    name = str(source.get("name", "")).upper()
    source = dict(source)

    def value(setting: str) -> str | None:
        return environment.get(SOURCE_VARIABLE.format(name=name, setting=setting)) or None

    if (url := value("URL")) is not None:
        source["base_url"] = url
    if (rate := value("REQUESTS_PER_SECOND")) is not None:
        source["requests_per_second"] = rate
    if (concurrency := value("CONCURRENCY")) is not None:
        source["concurrency"] = concurrency
    pagination = source.get("pagination")
    if (
        (size := value("PAGE_SIZE")) is not None
        and isinstance(pagination, dict)
        and pagination.get("kind") == "page"
    ):
        source["pagination"] = {**pagination, "size": size}
    return source
