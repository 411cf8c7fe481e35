"""Writes what Terraform made into a Kubernetes overlay's cluster.env: `python -m deploy.terraform.cluster_env prod`."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from shared.errors import ConfigurationError

HERE = Path(__file__).parent
OVERLAYS = HERE.parent / "k8s" / "overlays"

NO_TERRAFORM = "terraform is not installed: version 1.11 or newer has to be in the PATH"
FAILED = "terraform output in {folder}: {why} (docs/deploy/aws.md tells how an environment is initialized)"
NOTHING = "Terraform has made nothing there yet: `terraform apply` in {folder} comes first"

HEADER = """\
# Where things are in AWS, of Terraform's outputs: `make cluster-env ENV={environment}` wrote it. `make manifests` writes
# what follows from it (overlays/{environment}/cluster). No secret is here.
"""

EXAMPLES = """\
examples:
  python -m deploy.terraform.cluster_env prod           writes deploy/k8s/overlays/prod/cluster.env
  python -m deploy.terraform.cluster_env prod --print   shows it, and writes nothing
"""

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_VALUE = re.compile(r"[\w.,:/@+=-]+", re.ASCII)


def read_outputs(folder: Path) -> dict[str, str]:
    """The output `cluster_env` of the environment in `folder`. Asks the remote state; changes nothing.

    Raises `ConfigurationError` where Terraform is missing, fails, or has made nothing, and for a line that is none.
    """
    program = shutil.which("terraform")
    if program is None:
        raise ConfigurationError(NO_TERRAFORM)
    done = subprocess.run(  # noqa: S603 - no word of it is another's
        [program, f"-chdir={folder}", "output", "-no-color", "-json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ConfigurationError(FAILED.format(folder=folder, why=_why(done.stderr)))
    found = json.loads(done.stdout).get("cluster_env")
    if found is None:
        raise ConfigurationError(NOTHING.format(folder=folder))
    return checked(found["value"])


def _why(said: str) -> str:
    """The sentence of Terraform's error, without its frame and its explanations."""
    lines = [line.strip("╷│╵ ") for line in said.splitlines()]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    return errors[0] if errors else " ".join(lines)[:300]


def checked(values: Mapping[str, object]) -> dict[str, str]:
    """Raises `ConfigurationError` for a name or value that would not be one line of such a file."""
    for name, value in values.items():
        if not _NAME.fullmatch(name) or not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ConfigurationError(
                f"the output cluster_env has {name}={value!r}, which is no line of cluster.env"
            )
    return {name: str(value) for name, value in values.items()}


def text_of(values: Mapping[str, str], environment: str) -> str:
    """The same for the same outputs."""
    lines = "".join(f"{name}={value}\n" for name, value in sorted(values.items()))
    return HEADER.format(environment=environment) + lines


def write(text: str, environment: str, overlays: Path) -> Path:
    """Replaces the file whole. Raises `ConfigurationError` where there is no such overlay."""
    folder = overlays / environment
    if not folder.is_dir():
        raise ConfigurationError(f"there is no overlay {folder}")
    target = folder / "cluster.env"
    fresh = target.with_suffix(".env.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.terraform.cluster_env",
        description=(__doc__ or "").partition(":")[0] + ".",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    environments = sorted(path.name for path in (HERE / "envs").iterdir() if path.is_dir())
    parser.add_argument("environment", choices=environments)
    parser.add_argument("--print", action="store_true", dest="only_print", help="show it, and write nothing")
    given = parser.parse_args()
    try:
        text = text_of(read_outputs(HERE / "envs" / given.environment), given.environment)
        if given.only_print:
            sys.stdout.write(text)
            return
        target = write(text, given.environment, OVERLAYS)
    except ConfigurationError as error:
        sys.exit(f"cluster-env: {error}")
    sys.stderr.write(
        f"{os.path.relpath(target)} is written: now `make manifests`, and look at what changed\n"
    )


if __name__ == "__main__":
    main()
