"""docs/security.md names the rights of each service account to objects: those that the policies are made of."""

import re

import yaml

from tests.support.records import ROOT

RIGHTS = yaml.safe_load((ROOT / "deploy/terraform/modules/access/s3_rights.yaml").read_text(encoding="utf-8"))
REFUSALS = ("not_write", "not_delete")


def of_verbs(granted: dict[str, dict[str, list[str]]], *verbs: str) -> set[str]:
    return {
        f"{bucket}:{key}" for bucket in granted for verb in verbs for key in granted[bucket].get(verb, ())
    }


def test_the_table_shows_the_rights_that_there_are() -> None:
    section = (
        (ROOT / "docs/security.md").read_text(encoding="utf-8").partition("## S3")[2].partition("\n## ")[0]
    )
    rows = re.findall(r"^\| `([\w-]+)` \|(.*)\|(.*)\|(.*)\|(.*)\|$", section, re.MULTILINE)
    shown = {account: [set(re.findall(r"`([^`]+)`", cell)) for cell in cells] for account, *cells in rows}

    assert shown == {
        account: [
            *(of_verbs(granted, verb) for verb in ("read", "write", "delete")),
            of_verbs(granted, *REFUSALS),
        ]
        for account, granted in RIGHTS.items()
    }
