"""The statements of IAM of each service account, derived from `shared.storage.access`.

`python -m deploy.terraform.s3_rights` writes them; Terraform reads the file.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

from deploy.k8s.manifests.workloads import DASK_WORKER, WORKLOADS
from shared.storage.access import COLUMNS, KEY_RIGHTS, Action, Bucket, KeyRight

FILE: Final = Path(__file__).parent / "modules" / "access" / "s3_rights.json"

ACTIONS: Final[Mapping[Action, tuple[str, ...]]] = {
    "Read": ("s3:GetObject",),
    "Write": ("s3:PutObject", "s3:AbortMultipartUpload"),
    "Delete": ("s3:DeleteObject",),
}
BUCKETS: Final[tuple[Bucket, ...]] = ("staging", "lake")
SWEEPERS: Final = frozenset({"quality", "operator"})
"""They also end the unfinished uploads of others."""

Statement = dict[str, str | list[str]]
"""`keys`: patterns; none: the statement is for the bucket itself."""


def accounts() -> dict[str, list[Statement]]:
    """By the service accounts of deploy/k8s, in their order."""
    found = {
        workload.name: statements(KEY_RIGHTS[workload.kafka_user], sweeps=workload.kafka_user in SWEEPERS)
        for workload in WORKLOADS
        if workload.store and workload.kafka_user is not None
    }
    found[DASK_WORKER.name] = statements(_of_dask_worker(), sweeps=False)
    return found


def statements(rights: Iterable[KeyRight], *, sweeps: bool) -> list[Statement]:
    """One for each bucket and action; what is left out of all of an action is a refusal."""
    rights = tuple(rights)
    found: list[Statement] = []
    for bucket in BUCKETS:
        here = [right for right in rights if right.bucket == bucket]
        found += _of_the_bucket(bucket, reads=any("Read" in right.actions for right in here), sweeps=sweeps)
        for action in ACTIONS:
            found += _of_objects(bucket, action, [right for right in here if action in right.actions])
        if sweeps:
            found.append(
                _statement(
                    bucket, "Uploads", ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"), ["*"]
                )
            )
    return found


def text() -> str:
    return json.dumps(accounts(), indent=2) + "\n"


def _of_the_bucket(bucket: Bucket, *, reads: bool, sweeps: bool) -> list[Statement]:
    """Names have no condition on their prefix: a request for an object has none, and would be told 403 of a missing one."""
    actions = (*(["s3:ListBucket"] if reads else []), *(["s3:ListBucketMultipartUploads"] if sweeps else []))
    return [_statement(bucket, "Names", actions, [])] if actions else []


def _of_objects(bucket: Bucket, action: Action, rights: list[KeyRight]) -> list[Statement]:
    if not rights:
        return []
    allowed = list(dict.fromkeys(right.keys for right in rights))
    # A refusal wins over every grant, so what another right grants is not refused.
    refused = [key for right in rights for key in right.but_not if key not in allowed]
    found = [_statement(bucket, action, ACTIONS[action], allowed)]
    if refused:
        found.append(_statement(bucket, f"No{action}", ACTIONS[action][:1], refused, effect="Deny"))
    return found


def _statement(
    bucket: Bucket,
    name: str,
    actions: Iterable[str],
    keys: list[str],
    effect: Literal["Allow", "Deny"] = "Allow",
) -> Statement:
    return {
        "sid": f"{bucket.title()}{name}",
        "effect": effect,
        "bucket": bucket,
        "actions": list(actions),
        "keys": keys,
    }


def _of_dask_worker() -> Iterable[KeyRight]:
    """It stores what a batch of the processor becomes, and commits and deletes nothing."""
    for right in KEY_RIGHTS["processor"]:
        kept = tuple(
            action
            for action in right.actions
            if action == "Read" or (action, right.keys) != ("Write", COLUMNS)
        )
        if actions := tuple(action for action in kept if action != "Delete"):
            yield KeyRight(right.bucket, right.keys, actions, right.but_not)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
