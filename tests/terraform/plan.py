"""A plan of Terraform, as its own JSON tells it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What will be there: of each resource by its address what is known before it is made."""

    resources: Mapping[str, Values]
    unknown: Mapping[str, Values]
    """Of the same addresses: what is known afterwards only."""
    configuration: Mapping[str, Any]
    outputs: Mapping[str, frozenset[str]]
    """Of each output that is a map, its keys."""

    @classmethod
    def parse(cls, text: str) -> "Plan":
        document = json.loads(text)
        changes = {change["address"]: change["change"] for change in document["resource_changes"]}
        return cls(
            {
                address: change["after"]
                for address, change in changes.items()
                if change["actions"] == ["create"]
            },
            {address: change["after_unknown"] for address, change in changes.items()},
            document["configuration"],
            {
                name: frozenset({**_map(change.get("after")), **_map(change["after_unknown"])})
                for name, change in document["output_changes"].items()
            },
        )

    def one(self, address: str) -> Values:
        return self.resources[f"module.onpoint.{address}"]

    def of(self, kind: str) -> dict[str, Values]:
        """By address, all of a kind such as `aws_s3_bucket`."""
        return {address: values for address, values in self.resources.items() if kind_of(address) == kind}

    def kinds(self) -> set[str]:
        return {kind_of(address) for address in self.resources}


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def kind_of(address: str) -> str:
    """`module.a["b"].aws_x.y["z"]` is an `aws_x`."""
    return next(part for part in address.split(".") if part.startswith("aws_"))


def statements(policy: str) -> Iterator[Mapping[str, Any]]:
    """Of a policy; what may be one or many is many."""
    for statement in json.loads(policy)["Statement"]:
        yield {
            **statement,
            "Action": many(statement["Action"]),
            "Resource": many(statement.get("Resource", ())),
        }


def many(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
