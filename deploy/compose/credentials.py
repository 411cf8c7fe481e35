"""Secrets of the stack in containers: random, made once, one file each. Needs nothing but Python itself.

python3 -m deploy.compose.credentials         makes what is missing; a file that is there stays
python3 -m deploy.compose.credentials env     prints `export NAME=…` lines for programs on this machine
"""

import json
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

FOLDER = "ONPOINT_COMPOSE_SECRETS"
DEFAULT_FOLDER = ".onpoint/compose"
READABLE = 0o444
"""A container's user is not a user of this machine. Its own folder keeps other people here from the files."""


def folder() -> Path:
    return Path(os.environ.get(FOLDER) or DEFAULT_FOLDER)


def create(place: Path) -> list[str]:
    """Makes the files that are missing; returns their names."""
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    makers: dict[str, Callable[[], str]] = {
        "postgres_superuser": lambda: secrets.token_urlsafe(24),
        "postgres_onpoint": lambda: secrets.token_urlsafe(24),
        "postgres_cdc": lambda: secrets.token_urlsafe(24),
        "s3_credentials": lambda: f"{secrets.token_hex(10).upper()}:{secrets.token_urlsafe(30)}",
        "grafana_admin": lambda: secrets.token_urlsafe(24),
        # Made from the content of another file, so that both agree.
        "postgres_dsn": lambda: dsn(place, "postgres:5432"),
        "s3_identities.json": lambda: identities(place),
    }
    made = [name for name in makers if not (place / name).exists()]
    for name in made:
        part = place / f".{name}.part"
        part.write_text(makers[name](), encoding="ascii")
        part.chmod(READABLE)
        part.replace(place / name)
    return made


def dsn(place: Path, address: str) -> str:
    return f"postgresql://onpoint:{read(place, 'postgres_onpoint')}@{address}/onpoint"


def identities(place: Path) -> str:
    """The object store's own configuration: one identity that may do everything."""
    key_id, _, secret = read(place, "s3_credentials").partition(":")
    keys = [{"accessKey": key_id, "secretKey": secret}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    return json.dumps({"identities": [{"name": "onpoint", "credentials": keys, "actions": actions}]})


def read(place: Path, name: str) -> str:
    return (place / name).read_text(encoding="ascii")


def environment(place: Path, address: Callable[[str, int], str]) -> dict[str, str]:
    """The settings with which the command line, psql and any client reach the containers from this machine."""
    s3 = f"http://{address('seaweedfs', 8333)}"
    key_id, _, secret = read(place, "s3_credentials").partition(":")
    return {
        "ONPOINT_KAFKA_BOOTSTRAP_SERVERS": address("kafka", 29092),
        "ONPOINT_POSTGRES_DSN": dsn(place, address("postgres", 5432)),
        "ONPOINT_S3_ENDPOINT_URL": s3,
        "ONPOINT_STAGING_BUCKET": "onpoint-staging",
        "ONPOINT_LAKE_BUCKET": "onpoint-lake",
        "AWS_ACCESS_KEY_ID": key_id,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": s3,
    }


def published(service: str, port: int) -> str:
    """Where a container's port is on this machine. Raises `CalledProcessError` when it does not run."""
    command = ["docker", "compose", "port", service, str(port)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603  (the docker of whoever calls; constant words)


def main() -> None:
    place = folder()
    if sys.argv[1:] == ["env"]:
        try:
            found = environment(place, published)
        except (OSError, subprocess.CalledProcessError):
            sys.exit("the containers do not run: start them with `make compose-up`")
        sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())
    elif made := create(place):
        sys.stderr.write(f"made {', '.join(made)} in {place}\n")


if __name__ == "__main__":
    main()
