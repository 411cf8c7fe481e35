"""The Secrets of the overlay `local`: random, made once, kept in files of this machine.

python -m deploy.k8s.local_secrets | kubectl apply -f -      makes what is missing, and prints all of them as one List
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.compose import credentials
from deploy.k8s.manifests.access import S3_SECRET
from deploy.k8s.manifests.jobs import MIGRATE
from deploy.k8s.manifests.objects import PART_OF
from deploy.k8s.manifests.workloads import WORKLOADS
from deploy.k8s.manifests.writing import ROOT

PLACE = Path(".onpoint/k8s")
NAMESPACE = "onpoint"


def secrets(place: Path) -> list[dict[str, Any]]:
    """One for each pod that needs some, of the files that `credentials.create` made there."""

    def made(name: str, **files: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {PART_OF: "onpoint"}},
            "type": "Opaque",
            "stringData": {key: credentials.read(place, file) for key, file in files.items()},
        }

    server = ("postgres_superuser", "postgres_onpoint", "postgres_cdc")
    return [
        made("postgres-server", **{name: name for name in server}),
        *(
            # One role owns all here. On AWS each has its own (docs/security.md).
            made(f"postgres-{workload.name}", dsn="postgres_dsn")
            for workload in (*WORKLOADS, MIGRATE)
            if workload.postgres
        ),
        made("postgres-connect", password="postgres_cdc"),  # noqa: S106 - the name of a file
        made(S3_SECRET, credentials="s3_credentials"),
        made("seaweedfs", **{"identities.json": "s3_identities.json"}),
    ]


def main() -> None:
    if made := credentials.create(PLACE):
        sys.stderr.write(f"made {', '.join(made)} in {PLACE}\n")
    # They come before everything else, so their namespace does with them.
    namespace = yaml.safe_load((ROOT / "base" / "namespace.yaml").read_text())
    listed = {"apiVersion": "v1", "kind": "List", "items": [namespace, *secrets(PLACE)]}
    json.dump(listed, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
