"""checkov finds nothing in deploy/terraform; each exception stands with its reason beside what it is for."""

import json
import re
import subprocess

import pytest

from tests.support.records import ROOT

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

CHECKOV = ROOT / ".venv-deploy" / "bin" / "checkov"
FOLDER = ROOT / "deploy" / "terraform"


def found_in(folder: str) -> dict[str, object]:
    assert CHECKOV.exists(), "checkov is in an environment of its own: run `make deploy-env`"
    done = subprocess.run(
        [
            CHECKOV,
            "-d",
            folder,
            "--framework",
            "terraform",
            "--compact",
            "--quiet",
            "--skip-download",
            "-o",
            "json",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_nothing_is_found() -> None:
    found = found_in(str(FOLDER))
    results = found["results"]
    assert isinstance(results, dict)
    failed = [
        f"{check['check_id']} {check['resource']}: {check['check_name']}"
        for check in results["failed_checks"]
    ]
    assert failed == []
    summary = found["summary"]
    assert isinstance(summary, dict)
    assert summary["parsing_errors"] == 0
    assert summary["passed"] > 600


def test_every_exception_has_a_reason() -> None:
    skips = [
        (file.name, line.strip())
        for file in FOLDER.rglob("*.tf")
        for line in file.read_text(encoding="utf-8").splitlines()
        if "checkov:skip" in line
    ]
    assert skips
    for name, line in skips:
        assert re.fullmatch(r"# checkov:skip=CKV2?_AWS_\d+:.{8,}", line), f"{name}: {line}"
