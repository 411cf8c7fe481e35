"""What checkov finds in rendered manifests."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.environment import program

CHECK_TIMEOUT_S = 300


@dataclass(frozen=True, order=True)
class Finding:
    check: str
    resource: str
    """Kind, namespace and name, joined by dots."""
    meaning: str


def checkov(manifests: Path) -> tuple[list[Finding], int]:
    """What failed, and how many checks passed."""
    done = subprocess.run(
        (
            program("checkov"),
            f"--file={manifests}",
            "--framework=kubernetes",
            "--output=json",
            "--quiet",
            "--skip-download",
            "--soft-fail",
        ),
        capture_output=True,
        text=True,
        timeout=CHECK_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    failed = report["results"]["failed_checks"]
    found = [Finding(each["check_id"], each["resource"], each["check_name"]) for each in failed]
    return sorted(found), int(report["summary"]["passed"])
