"""Lists what a bill of materials names: `python -m deploy.release.licences FILE` prints a component a line.

A component: its name, version and licence, tab-separated.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

READ_BY_HAND = {"multidict": "Apache-2.0", "partd": "BSD-3-Clause"}
"""Of packages whose metadata has words in the place of the licence's SPDX name."""


class UnlicensedError(Exception):
    """A component states no licence, so that none may pass it on."""


def listed(bill: dict[str, Any]) -> Iterator[str]:
    """A line for each component of a CycloneDX document, by name.

    Raises `UnlicensedError`, which names every component without a licence.
    """
    components = sorted(bill.get("components", []), key=lambda component: component["name"].lower())
    found = {
        one["name"]: _licence(one.get("licenses", [])) or READ_BY_HAND.get(one["name"]) for one in components
    }
    if without := [name for name, licence in found.items() if not licence]:
        raise UnlicensedError(f"no licence is stated by: {', '.join(without)}")
    for one in components:
        yield "\t".join((one["name"], one["version"], str(found[one["name"]])))


def _licence(stated: list[dict[str, Any]]) -> str:
    """The SPDX expression where there is one, else what the package calls its licences."""
    for choice in stated:
        if "expression" in choice:
            return str(choice["expression"])
    found = (choice["license"].get("id") or choice["license"].get("name") for choice in stated)
    return ", ".join(sorted({_short(name) for name in found if name}))


def _short(name: str) -> str:
    """Some packages put the whole text of their licence where its name belongs: its first line."""
    return name.removeprefix("License :: OSI Approved :: ").strip().partition("\n")[0].strip()


def main() -> None:
    try:
        for line in listed(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))):
            print(line)
    except UnlicensedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
