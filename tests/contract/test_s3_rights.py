"""The statements that Terraform reads are those that follow from the rights of each process."""

import json

from deploy.k8s.manifests.cluster import STORE_WORKLOADS
from deploy.terraform.s3_rights import FILE, accounts, statements, text
from shared.storage.access import KeyRight


def test_the_file_is_written_anew() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "make manifests"


def test_each_service_account_that_uses_the_buckets_has_some() -> None:
    assert set(accounts()) == set(STORE_WORKLOADS)


def test_a_refusal_is_of_what_no_other_right_grants() -> None:
    rights = [
        KeyRight("lake", "*", ("Write",), but_not=("_runs/*", "cdc/*")),
        KeyRight("lake", "_runs/*", ("Write",)),
    ]

    allowed, refused = statements(rights, sweeps=False)

    assert (allowed["effect"], allowed["keys"]) == ("Allow", ["*", "_runs/*"])
    assert (refused["effect"], refused["keys"], refused["actions"]) == ("Deny", ["cdc/*"], ["s3:PutObject"])


def test_who_reads_may_list_and_who_writes_alone_may_not() -> None:
    [names, read] = statements([KeyRight("staging", "runs/*", ("Read",))], sweeps=False)
    assert (names["actions"], names["keys"]) == (["s3:ListBucket"], [])
    assert read["actions"] == ["s3:GetObject"]
    [write] = statements([KeyRight("lake", "exports/*", ("Write",))], sweeps=False)
    assert write["actions"] == ["s3:PutObject", "s3:AbortMultipartUpload"]


def test_a_worker_of_dask_commits_and_deletes_nothing() -> None:
    of_worker = json.dumps(accounts()["dask-worker"])
    assert "s3:DeleteObject" not in of_worker
    [written] = [s for s in accounts()["dask-worker"] if s["sid"] == "StagingWrite"]
    assert written["keys"] == ["runs/*/*/processor/*"]
