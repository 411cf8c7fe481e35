"""docs/configuration.md is the table of `.env.example` and of the settings models.

`python -m tests.contract.test_configuration` writes it anew.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.settings.variables import PREFIX
from tests.contract.test_env_example import SECTIONS, rendered
from tests.support.records import ROOT

FILE = ROOT / "docs" / "configuration.md"

HEAD = """\
# Configuration

Every setting is an environment variable. A service, or `onpoint`, that finds a wrong value ends at once with exit code 2 and
one line for each mistake; it names the variable and what it should be, and never the value. The same list as a file for a
shell: `.env.example` in the checkout.

- **A secret can be a file**: `NAME_FILE` with the path in place of `NAME` with the value. A line end at its end is dropped.
- **Read at start.** A changed setting needs a restart of what reads it ([how](operations.md#change-a-setting)).
- **The local stack** sets where things are by itself. Every other variable that `onpoint up` finds goes to its services.
- **required**: it has no default. An empty default: it is off, or absent, as its meaning says.

This page is made from the code; a test keeps it so.
"""

UNITS = {
    "_S": "seconds",
    "_MS": "milliseconds",
    "_BYTES": "bytes",
    "_MIB": "MiB",
    "_HOURS": "hours",
    "_ROWS": "rows",
    "_CPUS": "cores",
    "_PER_SECOND": "requests a second",
}
"""By the end of a variable's name."""

HEADING = re.compile(r"# --- (?P<title>.*)")
VARIABLE = re.compile(r"(?P<optional># )?(?P<name>[A-Z][A-Z0-9_]+)=(?P<default>.*)")
RANGES = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


@dataclass(frozen=True)
class Variable:
    name: str
    default: str | None
    """None: it must be set."""
    meaning: str


@dataclass(frozen=True)
class Section:
    title: str
    variables: list[Variable] = field(default_factory=list)


def sections(text: str) -> Iterator[Section]:
    """The sections of `.env.example`. A meaning stands above its variable, or above several of one kind."""
    section: Section | None = None
    meaning = ""
    for line in text.splitlines():
        if heading := HEADING.fullmatch(line):
            if section is not None:
                yield section
            section = Section(heading["title"])
        elif section is not None and (found := VARIABLE.fullmatch(line)):
            section.variables.append(
                Variable(found["name"], found["default"] if found["optional"] else None, meaning)
            )
        elif line.startswith("# "):
            meaning = line.removeprefix("# ")
    if section is not None:
        yield section


def fields() -> dict[str, FieldInfo]:
    return {
        PREFIX + name.upper(): info
        for models in SECTIONS.values()
        for model in models
        for name, info in model.model_fields.items()
    }


def type_of(variable: Variable, info: FieldInfo | None) -> str:
    if variable.name.endswith("_FILE"):
        return "file"
    if info is not None:
        return " ".join([named(info.annotation), *bounds(info)])
    if re.search(r"_PORT(_|$)", variable.name) and (variable.default or "").isdigit():
        return "port"
    return "number" if re.fullmatch(r"\d+(\.\d+)?", variable.default or "") else "text"


def named(annotation: Any) -> str:
    """The type in a reader's words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return named(arguments[0])
    if origin in {Union, UnionType}:
        return named(next(argument for argument in arguments if argument is not type(None)))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    names = {int: "integer", float: "number", bool: "`true`, `false`", SecretStr: "secret", Path: "folder"}
    return names.get(annotation, "text")


def bounds(info: FieldInfo) -> list[str]:
    found = {name: getattr(each, name) for each in info.metadata for name in RANGES if hasattr(each, name)}
    return [", ".join(RANGES[name].format(value) for name, value in found.items())] if found else []


def unit_of(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def row(variable: Variable, info: FieldInfo | None) -> str:
    default = "required" if variable.default is None else variable.default and f"`{variable.default}`"
    cells = [
        f"`{variable.name}`",
        type_of(variable, info),
        unit_of(variable.name),
        default,
        variable.meaning,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page() -> str:
    known = fields()
    parts = [HEAD]
    for section in sections(rendered()):
        rows = [row(variable, known.get(variable.name)) for variable in section.variables]
        title = section.title.replace("`", "")
        head = ["| variable | type | unit | default | meaning |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"## {title}\n", *head, *rows]) + "\n")
    return "\n".join(parts)


def test_the_page_is_what_the_code_has() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), (
        "write it anew: python -m tests.contract.test_configuration"
    )


def test_every_variable_of_the_models_is_on_it() -> None:
    assert set(fields()) <= set(re.findall(r"^\| `(\w+)` \|", page(), re.MULTILINE))


def test_every_variable_has_a_meaning() -> None:
    assert [
        each.name for section in sections(rendered()) for each in section.variables if not each.meaning
    ] == []


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
