"""All dataset files that can be used, and why the others cannot. Each file is read by itself: none stops another."""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from shared.datasets.built_in import BUILT_IN
from shared.datasets.document import MAX_BYTES, DocumentError, Mark, read_document
from shared.datasets.model import WRITTEN, Dataset, source_form
from shared.datasets.pagination import PAGINATION_KINDS
from shared.datasets.sources.pagination import SIZED
from shared.datasets.wording import explain, explain_fault
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from shared.transforms.check import Fault

MISTAKES_TOLD = 20
"""Of one file."""

SUFFIXES = (".yaml", ".yml")
SOURCE_VARIABLE = "ONPOINT_SOURCE_{name}_{setting}"

_NAME_LINE = re.compile(rb"""^name:[ \t]*["']?([A-Za-z0-9_.-]{1,63})""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A dataset file that is not used."""

    path: Path
    line: int
    reason: str
    name: str
    """Of its dataset, or of the file where it does not tell."""
    more: tuple[tuple[int, str], ...] = ()
    """Line and reason of each further mistake."""
    depends_on_code: bool = False
    """Whether another file than this one may be what is to be mended."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"

    def mistakes(self) -> Iterator[str]:
        """Every one as a line, the one to mend first before the others; of many the first."""
        yield str(self)
        for line, reason in self.more[: MISTAKES_TOLD - 1]:
            yield f"{self.path}:{line}: {reason}"
        if len(self.more) >= MISTAKES_TOLD:
            yield f"{self.path}: and {len(self.more) - MISTAKES_TOLD + 1:,} more"


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A file that can be used by itself."""

    path: Path
    dataset: Dataset
    name_line: int
    table_line: int
    code_files: tuple[Path, ...] = ()
    """Files beside it that its functions come from."""


class Catalog(Mapping[str, Dataset]):
    """The datasets by name: the built-in ones first, then those of the folder, each in the order of the files' names."""

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        files: Mapping[str, Path] = MappingProxyType({}),
        refused: Iterable[RefusedFile] = (),
    ) -> None:
        self._datasets = dict(datasets)
        self.files = dict(files)
        """By dataset."""
        self.refused = tuple(refused)

    def __getitem__(self, name: str) -> Dataset:
        return self._datasets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)

    def why_refused(self, name: str) -> str | None:
        """Why the dataset of this name cannot be used: file, line and reason; None where no file is to blame."""
        if name in self._datasets:
            return None
        return next((str(refused) for refused in self.refused if refused.name == name), None)


def load_catalog(extra: Path | None = None, environment: Mapping[str, str] | None = None) -> Catalog:
    """The built-in datasets and those of `extra`; the environment may replace a source's settings.

    A file that cannot be used is in `Catalog.refused`. Raises `ConfigurationError` if `extra` is not a folder.
    """
    environment = os.environ if environment is None else environment
    return assemble(read_file(path, environment) for path in find_files(extra))


def find_files(extra: Path | None) -> list[Path]:
    """The built-in files, then the folder's. What a dot begins is a temporary file.

    Raises `ConfigurationError` if `extra` is not a folder, or may not be read.
    """
    return [*_files(BUILT_IN), *(_files(extra) if extra is not None else ())]


def _files(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names only, which is all that is needed
    except OSError as error:
        raise ConfigurationError(f"ONPOINT_DATASETS_DIR: {folder} is not a readable folder") from error
    return [folder / name for name in names if name.endswith(SUFFIXES) and not name.startswith(".")]


def assemble(files: Iterable[DatasetFile | RefusedFile]) -> Catalog:
    """Of two files with one dataset name, or one table, the first stays."""
    datasets: dict[str, Dataset] = {}
    paths: dict[str, Path] = {}
    tables: dict[str, str] = {}
    refused: list[RefusedFile] = []
    for file in files:
        if isinstance(file, RefusedFile):
            refused.append(file)
            continue
        name, table = file.dataset.name, file.dataset.table
        if name in datasets:
            reason = f"dataset {name} is defined twice, first in {paths[name]}: give this one another name"
            refused.append(RefusedFile(file.path, file.name_line, reason, name))
        elif table in tables:
            other = tables[table]
            reason = f"table {table} already belongs to dataset {other} ({paths[other]}): name another table"
            refused.append(RefusedFile(file.path, file.table_line, reason, name))
        else:
            datasets[name], paths[name], tables[table] = file.dataset, file.path, name
    return Catalog(datasets, paths, refused)


def read_file(path: Path, environment: Mapping[str, str]) -> DatasetFile | RefusedFile:
    """Never raises for what is in the file, or for a file that cannot be read."""
    data = b""
    try:
        data = _bytes_of(path)
        return _parse(path, data, environment)
    except DocumentError as error:
        found = _NAME_LINE.search(data)
        name = found[1].decode() if found else path.stem
        by_code = isinstance(error, _TransformError)
        return RefusedFile(path, error.line, error.reason, name, error.more, depends_on_code=by_code)


def _bytes_of(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DocumentError(1, "this is not a regular file")
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DocumentError(1, f"the file cannot be read: {error.strerror}") from error


def _open_at_once(path: str, flags: int) -> int:
    """A pipe of that name would be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _parse(path: Path, data: bytes, environment: Mapping[str, str]) -> DatasetFile:
    document, mark = read_document(data)
    variables: dict[tuple[str, ...], str] = {}
    if isinstance(document.get("source"), dict):
        document["source"] = _with_environment(document["source"], environment, variables)
    mistakes = list(_nothings(document, mark))
    try:
        dataset = Dataset.model_validate(document)
    except ValidationError as error:
        mistakes += explain(error, mark, variables)
    code_files: tuple[Path, ...] = ()
    if not mistakes and dataset.transform:
        dataset, code_files, faults = _checked_transform(dataset, path.parent)
        if faults:
            first, *others = [explain_fault(mark, fault.at, fault.reason) for fault in faults]
            raise _TransformError(*first, *others)
    if mistakes:
        first, *others = mistakes
        raise DocumentError(*first, *others)
    return DatasetFile(path, dataset, mark.at(("name",))[0], mark.at(("table",))[0], code_files)


class _TransformError(DocumentError):
    """A mistake in a transform: it may be in the file of a function."""


def _checked_transform(dataset: Dataset, folder: Path) -> tuple[Dataset, tuple[Path, ...], "list[Fault]"]:
    """With the code of its functions, the files that it came from, and what is wrong.

    The database that reads statements is imported for those who have some.
    """
    from shared.transforms import check  # noqa: PLC0415 - as said

    dataset, faults = check.with_code(dataset, folder)
    return dataset, check.files_of(dataset, folder), faults or list(check.faults_of(dataset))


def _nothings(document: Mapping[str, Any], mark: Mark) -> Iterator[tuple[int, str]]:
    """Mistakes of columns with `from: null`: it would name the column's own key, which the author did not mean."""
    columns = document.get("columns")
    for place, column in enumerate(columns if isinstance(columns, list) else ()):
        if isinstance(column, dict) and "from" in column and column["from"] is None:
            line, written = mark.at(("columns", place, "from"))
            if written is not None and written.text:
                reason = f'YAML reads {written.text} as nothing: put it in quotes, "{written.text}"'
            else:
                reason = "nothing is written here: name a key, or leave the field away"
            yield line, f"columns {place + 1}.from: {reason}"


def _with_environment(
    source: dict[str, Any], environment: Mapping[str, str], variables: dict[tuple[str, ...], str]
) -> dict[str, Any]:
    """Applies `ONPOINT_SOURCE_<NAME>_{URL,REQUESTS_PER_SECOND,CONCURRENCY,PAGE_SIZE}`, and logs which it applied."""
    own_name = str(source.get("name", "")).upper()
    source = dict(source)

    def value(setting: str, *field: str) -> str | None:
        variable = SOURCE_VARIABLE.format(name=own_name, setting=setting)
        if (found := environment.get(variable) or None) is not None:
            variables["source", *field] = variable
        return found

    if (url := value("URL", "base_url")) is not None:
        source["base_url"] = url
    is_written = source_form(source) == WRITTEN
    at = ("limits",) if is_written else ()
    limits = {
        name: found
        for name, setting in (("requests_per_second", "REQUESTS_PER_SECOND"), ("concurrency", "CONCURRENCY"))
        if (found := value(setting, *at, name)) is not None
    }
    if is_written and limits:
        own = source.get("limits")
        source["limits"] = {**(own if isinstance(own, dict) else {}), **limits}
    else:
        source |= limits
    pagination = source.get("pagination")
    if (
        isinstance(pagination, dict)
        and (_has_page_size(pagination.get("kind")) or (is_written and pagination.get("kind") in SIZED))
        and (size := value("PAGE_SIZE", "pagination", "size")) is not None
    ):
        source["pagination"] = {**pagination, "size": size}
    return source


def _has_page_size(kind: object) -> bool:
    options = PAGINATION_KINDS.get(kind) if isinstance(kind, str) else None
    return options is not None and "size" in options.model_fields
