"""A copy of deploy/terraform in which Terraform works: with a state in a file, and a stand-in of AWS."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.records import ROOT
from tests.terraform.aws import REGION, Aws
from tests.terraform.plan import Plan
from tests.terraform.tools import run, write_configuration

READS = ("terraform", "kafka", "dms")
"""Folders of deploy/ that the modules read."""

OVERRIDE = """\
terraform {
  backend "local" {}
}

provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
"""

GIVEN: Mapping[str, Any] = {"region": REGION, "alarm_emails": ["data@example.org"]}
"""What every environment has to be told."""


class Workspace:
    def __init__(self, folder: Path, aws: Aws) -> None:
        self.deploy = folder / "deploy"
        for name in READS:
            shutil.copytree(ROOT / "deploy" / name, self.deploy / name, ignore=_not_copied)
        self.environment = {
            **aws.environment(),
            "TF_CLI_CONFIG_FILE": str(write_configuration(folder)),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        }

    def env(self, name: str) -> Path:
        return self.deploy / "terraform" / "envs" / name

    def prepare(self, name: str) -> None:
        """Initializes an environment, with the override."""
        (self.env(name) / "stand_in_override.tf").write_text(OVERRIDE)
        self.terraform(name, "init", "-input=false")

    def plan(self, name: str, **variables: Any) -> Plan:
        self.write_variables(name, **variables)
        self.terraform(name, "plan", "-input=false", "-out=made.tfplan")
        return Plan.parse(self.terraform(name, "show", "-json", "made.tfplan"))

    def write_variables(self, name: str, **variables: Any) -> None:
        (self.env(name) / "given.auto.tfvars.json").write_text(json.dumps({**GIVEN, **variables}))

    def terraform(self, name: str, *words: str, within_s: float = 300) -> str:
        """What it prints. Fails the test where it fails."""
        done = run(*words, folder=self.env(name), environment=self.environment, within_s=within_s)
        assert done.returncode == 0, (
            f"terraform {words[0]} in {name}:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        )
        return done.stdout

    def refused(self, module: str, variables: Mapping[str, Any]) -> str:
        """What Terraform says of a module with such variables, on one line."""
        folder = self.deploy / "terraform" / "modules" / module
        if not (folder / ".terraform").exists():
            done = run("init", "-input=false", folder=folder, environment=self.environment)
            assert done.returncode == 0, done.stderr[-3000:]
        (folder / "given.auto.tfvars.json").write_text(json.dumps(variables))
        done = run("plan", "-input=false", "-refresh=false", folder=folder, environment=self.environment)
        assert done.returncode == 1, f"it was accepted:\n{done.stdout[-3000:]}"
        return " ".join(done.stderr.replace("│", " ").split())


def _not_copied(_folder: str, names: list[str]) -> set[str]:
    return {
        name
        for name in names
        if name in {".terraform", "__pycache__"} or name.endswith((".tfstate", ".tfvars"))
    }
