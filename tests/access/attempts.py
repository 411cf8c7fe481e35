"""What a user of a broker is let do: each action is tried, and what the broker answers is kept.

An action that would change something is only checked by the broker where its protocol has that; else it is one that an
allowed user may do here.
"""

import asyncio
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreateAclsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteGroupsRequest,
    DeleteTopicsRequest,
    DescribeAclsRequest,
    DescribeConfigsRequest,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import JoinGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

TIMEOUT_MS = 10_000
TOPIC = 2
REFUSALS = {29, 30, 31, 53}
"""Of a topic, a group, the cluster, a transactional id."""


@dataclass(frozen=True, order=True)
class Action:
    verb: str
    resource: str
    name: str


Answers = dict[Action, int]
"""The error code of each; 0: done."""


async def try_everything(
    admin: AIOKafkaAdminClient,
    *,
    topics: Collection[str],
    groups: Collection[str],
    transactional_ids: Collection[str],
) -> Answers:
    """On topics that exist. Deletes nothing that the caller may not delete."""

    async def ask(request: Any) -> Any:
        return await admin._send_request(request)  # noqa: SLF001 - aiokafka offers few of these as calls

    def on_topics(verb: str, codes: Iterator[tuple[str, int]]) -> Answers:
        return {Action(verb, "topic", name): code for name, code in codes}

    names = sorted(topics)
    described = await ask(MetadataRequest(names, allow_auto_topic_creation=False))
    fetched = await ask(FetchRequest(0, 0, 1_000_000, 0, [(name, [(0, 0, 1_000)]) for name in names]))
    produced = await ask(ProduceRequest(None, -1, TIMEOUT_MS, [(name, [(0, a_batch())]) for name in names]))
    made = await ask(
        CreateTopicsRequest([(name, 1, 1, [], []) for name in names], TIMEOUT_MS, validate_only=True)
    )
    configs = await ask(DescribeConfigsRequest([(TOPIC, name, None) for name in names]))
    altered = await ask(
        AlterConfigsRequest([(TOPIC, name, [("retention.ms", "1000")]) for name in names], validate_only=True)
    )
    widened = await ask(
        CreatePartitionsRequest([(name, (50, None)) for name in names], TIMEOUT_MS, validate_only=True)
    )
    found = {
        **on_topics("describe", ((each[1], each[0]) for each in described.topics)),
        **on_topics("read", ((each[0], each[1][0][1]) for each in fetched.topics)),
        **on_topics("write", ((each[0], each[1][0][1]) for each in produced.topics)),
        **on_topics("create", ((each[0], each[1]) for each in made.topic_errors)),
        **on_topics("describe configs", ((each[3], each[0]) for each in configs.resources)),
        **on_topics("alter configs", ((each[3], each[0]) for each in altered.resources)),
        **on_topics("add partitions", ((each[0], each[1]) for each in widened.topic_errors)),
    }
    deleted = await ask(DeleteTopicsRequest(names, TIMEOUT_MS))
    found |= on_topics("delete", ((each[0], each[1]) for each in deleted.topic_error_codes))
    for group in sorted(groups):
        joined = await ask(JoinGroupRequest(group, 10_000, 10_000, "", None, "consumer", [("range", b"")]))
        found[Action("read", "group", group)] = joined.error_code
        offsets = await ask(OffsetFetchRequest(group, []))
        found[Action("describe", "group", group)] = offsets.error_code
        removed = await ask(DeleteGroupsRequest([group]))
        found[Action("delete", "group", group)] = removed.results[0][1]
    for name in sorted(transactional_ids):
        begun = await ask(InitProducerIdRequest(name, TIMEOUT_MS))
        found[Action("write", "transactional_id", name)] = begun.error_code
    idempotent = await ask(InitProducerIdRequest(None, TIMEOUT_MS))
    found[Action("idempotent write", "cluster", "")] = idempotent.error_code
    acls = await ask(DescribeAclsRequest(1, None, 1, None, None, 1, 1))
    found[Action("describe acls", "cluster", "")] = acls.error_code
    widening = await ask(CreateAclsRequest(TOPIC, "payments", 3, "User:payments", "*", 8, 3))
    found[Action("alter acls", "cluster", "")] = widening.creation_responses[0][0]
    return found


async def write_one(admin: AIOKafkaAdminClient, topics: Collection[str]) -> None:
    """One record into the first partition of each topic, once the topic has a leader."""
    missing = set(topics)
    await admin.start()
    try:
        async with asyncio.timeout(TIMEOUT_MS / 1000):
            while missing:
                parts = [(name, [(0, a_batch())]) for name in sorted(missing)]
                answer = await admin._send_request(ProduceRequest(None, -1, TIMEOUT_MS, parts))  # noqa: SLF001 - as above
                missing -= {each[0] for each in answer.topics if each[1][0][1] == 0}
                await asyncio.sleep(0.2)
    finally:
        await admin.close()


def a_batch() -> bytes:
    """Of one record, which has a key: compacted topics want one."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1000,
    )
    now_ms = int(time.time() * 1000)  # what is old is removed by the retention
    builder.append(0, timestamp=now_ms, key=b"k", value=b"{}", headers=[])
    return bytes(builder.build())
