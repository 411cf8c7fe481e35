"""What policies of IAM let a role do with S3, by the rules that these need: a Deny wins, `*` and `?` stand for anything."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.terraform.plan import Plan, many, statements


def policies_of(plan: Plan) -> dict[str, list[Mapping[str, Any]]]:
    """The statements about S3 of each service account."""
    found = {
        address.partition('aws_iam_role_policy.s3["')[2].removesuffix('"]'): list(
            statements(values["policy"])
        )
        for address, values in plan.of("aws_iam_role_policy").items()
        if ".aws_iam_role_policy.s3[" in address
    }
    assert found, "the plan knows them"
    return found


def allows(granted: Iterable[Mapping[str, Any]], action: str, resource: str) -> bool:
    of_it = [s for s in granted if _any(s["Action"], action) and _any(s["Resource"], resource)]
    effects = {statement["Effect"] for statement in of_it}
    assert not any("Condition" in statement for statement in of_it), "conditions are not evaluated here"
    return effects == {"Allow"}


def _any(patterns: Any, text: str) -> bool:
    return any(_matches(pattern, text) for pattern in many(patterns))


def _matches(pattern: str, text: str) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(expression, text, re.DOTALL) is not None
