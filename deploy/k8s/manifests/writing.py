"""How derived objects become files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.k8s.manifests.objects import Object

ROOT: Final = Path(__file__).parents[1]
HEADER: Final = "# Made by `make manifests` (deploy/k8s/manifests): change that, not this.\n"


class _Plain(yaml.SafeDumper):
    """Without anchors: an object that occurs twice is written twice, as people expect of manifests."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is the library's
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - as above
        super().increase_indent(flow, False)


def text_of(objects: Iterable[Object]) -> str:
    """A file's content. The same objects give the same text."""
    parts = (
        yaml.dump(each, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True) for each in objects
    )
    return HEADER + "---\n".join(parts)


def write(files: Mapping[str, str]) -> None:
    """Files by their path below deploy/k8s."""
    for name, text in files.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
