"""The version stands in `shared/version.py`; what repeats it says the same."""

import re
import subprocess

from shared.version import CODE_VERSION
from tests.support.records import ROOT

REPEATED = re.compile(r"\bonpoint[-:](\d+\.\d+\.\d+)\b")
ENDINGS = (".md", ".yml", ".yaml", ".toml", "Dockerfile", "Makefile")


def test_documents_and_deployments_name_this_version() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = [
        name
        for name in listed.stdout.splitlines()
        if name.endswith(ENDINGS) and name != "CHANGELOG.md" and (ROOT / name).exists()
    ]
    found = {name: set(REPEATED.findall((ROOT / name).read_text(encoding="utf-8"))) for name in files}
    assert {name: versions for name, versions in found.items() if versions - {CODE_VERSION}} == {}
    assert found["README.md"] == {CODE_VERSION}
