"""Golden files: what other programs rely on, as it was agreed, in `tests/contract/golden`.

A comparison that fails names what is missing, new or different. Where that is meant, `GOLDEN=new` makes the files anew:
`GOLDEN=new python -m pytest tests/contract`. Read the diff before you commit it.

A test that made its file anew is skipped, so that it does not count as passed.
"""

import json
import os
from collections.abc import Callable, Mapping
from difflib import unified_diff
from pathlib import Path
from textwrap import wrap
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "contract" / "golden"
VARIABLE = "GOLDEN"
SHOWN_CHARS = 300
SHOWN_LINES = 60
WRAP_CHARS = 120


def compare(name: str, found: Mapping[str, Any], *, folder: Path = FOLDER) -> None:
    """The entries that were found are those of `<name>.json`, with the same values."""
    path = folder / f"{name}.json"
    agreed = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")

    _settle(path.name, _as_texts(agreed), _as_texts(found), write)


def compare_texts(name: str, found: Mapping[str, str], *, folder: Path = FOLDER) -> None:
    """The texts that were found are the files `<name>/<key>.txt`, to the byte."""
    files = {path.stem: path for path in (folder / name).glob("*.txt")}
    agreed = {key: path.read_text(encoding="utf-8") for key, path in files.items()}

    def write() -> None:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for key in agreed.keys() - found.keys():
            files[key].unlink()
        for key, text in found.items():
            (folder / name / f"{key}.txt").write_text(text, encoding="utf-8")

    _settle(f"{name}/", agreed, found, write)


def is_made_anew() -> bool:
    """Whether `GOLDEN=new` asks for new golden files."""
    asked = os.environ.get(VARIABLE)
    if asked not in {None, "", "new"}:
        pytest.fail(f"{VARIABLE}={asked} is not understood: only {VARIABLE}=new is", pytrace=False)
    return asked == "new"


def how_to_make_anew() -> str:
    test = os.environ["PYTEST_CURRENT_TEST"].partition("::")[0]
    return f"if that is meant, `{VARIABLE}=new python -m pytest {test}` makes the golden anew"


def _settle(
    where: str, agreed: Mapping[str, str], found: Mapping[str, str], write: Callable[[], None]
) -> None:
    if is_made_anew():
        write()
        pytest.skip(f"golden {where} was made anew")
    if changes := _changes(agreed, found):
        details = "".join(
            _detail(key, agreed[key], found[key])
            for key in sorted(agreed.keys() & found.keys())
            if agreed[key] != found[key]
        )
        pytest.fail(
            f"golden {where} and the code differ: {'; '.join(changes)}; {how_to_make_anew()}.{details}",
            pytrace=False,
        )


def _changes(agreed: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    kinds = {
        "missing": agreed.keys() - found.keys(),
        "new": found.keys() - agreed.keys(),
        "different": {key for key in agreed.keys() & found.keys() if agreed[key] != found[key]},
    }
    return [f"{kind}: {', '.join(sorted(keys))}" for kind, keys in kinds.items() if keys]


def _detail(key: str, agreed: str, found: str) -> str:
    if "\n" not in agreed + found:
        return f"\n{key}\n  was {agreed:.{SHOWN_CHARS}}\n  is  {found:.{SHOWN_CHARS}}"
    lines = list(unified_diff(_lines(agreed), _lines(found), "was", "is", lineterm="", n=1))
    return "\n".join(["", key, *(f"  {line:.{SHOWN_CHARS}}" for line in lines[:SHOWN_LINES])])


def _lines(text: str) -> list[str]:
    """Long ones are wrapped, so that a difference at their end is shown."""
    return [
        part for line in text.splitlines() for part in wrap(line, WRAP_CHARS, drop_whitespace=False) or [line]
    ]


def _as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Each part in a line, so that a difference shows which."""
    return {
        key: json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) for key, value in values.items()
    }
