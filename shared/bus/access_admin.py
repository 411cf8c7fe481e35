"""ACLs of a cluster: compare what it has with what users need, and make the difference disappear.

A cluster of Strimzi has an operator for that; this is for the others.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import ClusterAuthorizationFailedError, SecurityDisabled, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from shared.bus.kafka import KafkaAccessError, KafkaClients
from shared.errors import ConfigurationError
from shared.events.access import Acl

ANY: Final = 1
"""In a filter, of resources, patterns, operations and permissions alike."""

RESOURCES: Final = {
    2: "topic",
    3: "group",
    4: "cluster",
    5: "transactional_id",
    6: "delegation_token",
    7: "user",
}
PATTERNS: Final = {3: "literal", 4: "prefixed"}
OPERATIONS: Final = {
    2: "All", 3: "Read", 4: "Write", 5: "Create", 6: "Delete", 7: "Alter", 8: "Describe", 9: "ClusterAction",
    10: "DescribeConfigs", 11: "AlterConfigs", 12: "IdempotentWrite", 13: "CreateTokens", 14: "DescribeTokens",
}  # fmt: skip
PERMISSIONS: Final = {2: "deny", 3: "allow"}
"""Numbers of Kafka's protocol."""

EVERYONE: Final = "User:*"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One ACL as the brokers keep it: one operation of one principal."""

    principal: str
    resource: str
    name: str
    operation: str
    pattern: str = "literal"
    permission: str = "allow"
    host: str = "*"

    def __str__(self) -> str:
        what = f"{self.operation} on {self.resource} {self.name}{'*' if self.pattern == 'prefixed' else ''}"
        host = "" if self.host == "*" else f" from {self.host}"
        return f"{self.principal} {self.permission} {what}{host}"


@dataclass(frozen=True, slots=True)
class Difference:
    missing: tuple[Grant, ...]
    extra: tuple[Grant, ...]
    """Of the same principals."""
    of_everyone: tuple[Grant, ...]
    """Rights that every user has beside its own."""


def grants(acls: Mapping[str, Collection[Acl]], principal: str = "{user}") -> set[Grant]:
    """The ACLs by user as grants. `principal`: how the brokers call a user, such as `CN={user},O=Example`."""
    return {
        Grant(f"User:{principal.format(user=user)}", acl.resource, acl.name, operation, acl.pattern)
        for user, found in acls.items()
        for acl in found
        for operation in acl.operations
    }


async def compare(kafka: KafkaClients, wanted: Collection[Grant]) -> Difference:
    """Costs one request. Raises `ConfigurationError` for brokers without ACLs, `KafkaAccessError`, else as the driver."""
    admin = kafka.admin()
    try:
        await kafka.start(admin)
        return _difference(wanted, await _present(admin))
    except ClusterAuthorizationFailedError as error:
        raise KafkaAccessError(kafka.denial_of_cluster("Describe", "to see its ACLs")) from error
    finally:
        await admin.close()


async def apply(kafka: KafkaClients, difference: Difference, *, prune: bool = False) -> None:
    """Adds what is missing, first; `prune` removes what is extra, not what everyone has.

    Costs a request for each grant. Idempotent. Raises `KafkaAccessError`, else as the driver.
    """
    admin = kafka.admin()
    try:
        await kafka.start(admin)
        for grant in difference.missing:
            answer = await _ask(admin, CreateAclsRequest(*_numbers(grant)))
            _require(answer.creation_responses, grant)
        for grant in difference.extra if prune else ():
            answer = await _ask(admin, DeleteAclsRequest(*_numbers(grant)))
            _require(answer.filter_responses, grant)
    except ClusterAuthorizationFailedError as error:
        raise KafkaAccessError(kafka.denial_of_cluster("Alter", "to change its ACLs")) from error
    finally:
        await admin.close()


def _difference(wanted: Collection[Grant], present: Iterable[Grant]) -> Difference:
    principals = {grant.principal for grant in wanted}
    found = set(present)
    return Difference(
        missing=tuple(sorted(set(wanted) - found)),
        extra=tuple(sorted(each for each in found - set(wanted) if each.principal in principals)),
        of_everyone=tuple(sorted(each for each in found if each.principal == EVERYONE)),
    )


async def _present(admin: AIOKafkaAdminClient) -> list[Grant]:
    answer = await _ask(admin, DescribeAclsRequest(ANY, None, ANY, None, None, ANY, ANY))
    kind = for_code(answer.error_code)
    if kind is SecurityDisabled:
        raise ConfigurationError("these brokers check no ACLs: their authorizer.class.name is not set")
    if answer.error_code:
        raise kind(answer.error_message)
    return [
        Grant(
            principal,
            RESOURCES.get(resource, str(resource)),
            name,
            OPERATIONS.get(operation, str(operation)),
            PATTERNS.get(pattern, str(pattern)),
            PERMISSIONS.get(permission, str(permission)),
            host,
        )
        for resource, name, pattern, acls in answer.resources
        for principal, host, operation, permission in acls
    ]


def _numbers(grant: Grant) -> tuple[int, str, int, str, str, int, int]:
    return (
        _number(RESOURCES, grant.resource),
        grant.name,
        _number(PATTERNS, grant.pattern),
        grant.principal,
        grant.host,
        _number(OPERATIONS, grant.operation),
        _number(PERMISSIONS, grant.permission),
    )


def _number(names: Mapping[int, str], name: str) -> int:
    return next((number for number, each in names.items() if each == name), 0) or int(name)


def _require(answers: Sequence[Sequence[Any]], grant: Grant) -> None:
    for code, message, *_ in answers:
        if code:
            raise for_code(code)(f"{grant}: {message}")


async def _ask(admin: AIOKafkaAdminClient, request: Any) -> Any:
    return await admin._send_request(request)  # noqa: SLF001 - aiokafka builds these requests and offers no call
