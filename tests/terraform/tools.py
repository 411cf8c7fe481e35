"""Terraform and the provider of AWS, as they are on this machine. Neither is fetched."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PLUGINS = "ONPOINT_TERRAFORM_PLUGINS"
"""Variable with the folder of a mirror of providers, as `terraform providers mirror` makes one."""

IN_A_MIRROR = "*/hashicorp/aws"
"""Below a folder with the name of the registry."""

CONFIGURATION = """\
provider_installation {{
  filesystem_mirror {{
    path    = "{folder}"
    include = ["hashicorp/aws"]
  }}
}}
"""

MISSING_PROGRAM = "terraform is not installed: version 1.11 or newer has to be in the PATH"
MISSING_PLUGINS = (
    f"the AWS provider is not on this machine: set {PLUGINS} to a folder that has <registry>/hashicorp/aws/<version> "
    "(`terraform providers mirror FOLDER` in deploy/terraform/envs/dev makes one)"
)


def terraform() -> str:
    found = shutil.which("terraform")
    if found is None:
        pytest.fail(MISSING_PROGRAM, pytrace=False)
    return found


def plugins() -> Path:
    """The named folder, Terraform's own, or one that lies two levels below the root."""
    named = os.environ.get(PLUGINS)
    usual = [Path.home() / ".terraform.d/plugins", Path("/usr/local/share/terraform/plugins")]
    places = [Path(named)] if named else [*usual, *sorted(Path("/").glob(f"*/*/{IN_A_MIRROR}/../../.."))]
    for place in places:
        if any(place.glob(IN_A_MIRROR)):
            return place.resolve()
    pytest.fail(MISSING_PLUGINS, pytrace=False)


def write_configuration(folder: Path) -> Path:
    """A configuration of Terraform's command line by which it takes providers from the mirror alone."""
    file = folder / "terraform.rc"
    file.write_text(CONFIGURATION.format(folder=plugins()))
    return file


def run(
    *words: str, folder: Path, environment: dict[str, str], within_s: float = 300
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [terraform(), words[0], "-no-color", *words[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
