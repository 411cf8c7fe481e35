"""The code of Python steps: found where it is written, kept with the dataset, loaded in the process of a step."""

import ast
import hashlib
import importlib
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.datasets.transform import MAX_CODE_CHARS, Code


class CodeError(Exception):
    """Why the function cannot be used."""


def module_file(folder: Path | None, module: str) -> Path | None:
    """The module's file in the folder of the dataset file; None: it would be of an installed package."""
    if folder is None:
        return None
    file = folder.joinpath(*module.split(".")).with_suffix(".py")
    return file if file.is_file() else None


def find_code(folder: Path | None, function: str) -> Code:
    """The module's text where it lies beside the dataset file, else the hash of the installed one. Runs nothing of it.

    Raises `CodeError` where there is no such module or function.
    """
    module, _, name = function.partition(":")
    beside = module_file(folder, module)
    file = beside or _installed(module)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CodeError(f"{file} cannot be read: {error}") from error
    if len(text) > MAX_CODE_CHARS:
        raise CodeError(f"{file} has {len(text):,} characters, at most {MAX_CODE_CHARS:,} are taken")
    _require_function(text, name, file)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Code(sha256=digest, text=text if beside is not None else None)


def is_here(function: str, code: Code | None) -> bool:
    """Whether the function can be loaded as its run was frozen with it: its text came along, or it is installed."""
    if code is None or code.text is not None:
        return True
    try:
        return hashlib.sha256(_installed(function.partition(":")[0]).read_bytes()).hexdigest() == code.sha256
    except (CodeError, OSError):
        return False


def load(job: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The function of a step, from the text that its run was frozen with, or of the installed package."""
    module: str = job["module"]
    text: str | None = job["text"]
    if text is None:
        found = hashlib.sha256(_installed(module).read_bytes()).hexdigest()
        if found != job["sha256"]:
            raise CodeError(f"{module} is not the one that the run began with: install that one, or run anew")
        loaded = importlib.import_module(module)
    else:
        loaded = _from_text(module, text)
    function = getattr(loaded, job["function"], None)
    if not callable(function):
        raise CodeError(f"{module} has no function {job['function']}")
    return function  # type: ignore[no-any-return]  # as its name says


def _from_text(module: str, text: str) -> ModuleType:
    loaded = ModuleType(module)
    loaded.__file__ = f"{module.rpartition('.')[2]}.py"
    loaded.__spec__ = spec_from_loader(module, None)
    sys.modules[module] = loaded
    exec(compile(text, loaded.__file__, "exec"), loaded.__dict__)  # noqa: S102 - the code that the operator wrote
    return loaded


def _installed(module: str) -> Path:
    """Of a package that is installed; its parents are imported, the module itself is not."""
    try:
        spec: ModuleSpec | None = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        file = f"{module.replace('.', '/')}.py"
        raise CodeError(f"there is no module {module}: neither {file} beside the dataset file nor installed")
    return Path(spec.origin)


def _require_function(text: str, name: str, file: Path) -> None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise CodeError(f"{file}{f':{line}' if line else ''} is no Python: {error}") from error
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    others = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    others |= {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    if name not in functions and name not in others:
        there = f": there are {', '.join(functions[:20])}" if functions else ""
        raise CodeError(f"{file} has no function {name}{there}")
