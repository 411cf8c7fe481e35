"""Users of the bus as Strimzi takes them."""

import yaml

from console.strimzi import kafka_users
from shared.events.access import users


def test_each_user_is_a_resource_of_the_cluster_with_its_rights() -> None:
    documents = list(yaml.safe_load_all(kafka_users(users(), "events")))

    assert [each["metadata"]["name"] for each in documents] == list(users())
    assert {each["metadata"]["labels"]["strimzi.io/cluster"] for each in documents} == {"events"}
    for document in documents:
        acls = users()[document["metadata"]["name"]]
        given = document["spec"]["authorization"]["acls"]
        assert [each["operations"] for each in given] == [list(acl.operations) for acl in acls]


def test_resources_are_called_as_strimzi_calls_them() -> None:
    chosen = {user: users()[user] for user in ("quality", "lineage", "cdc")}
    given = [
        each["resource"]
        for document in yaml.safe_load_all(kafka_users(chosen, "events"))
        for each in document["spec"]["authorization"]["acls"]
    ]

    assert {
        "type": "transactionalId",
        "name": "onpoint-quality-run.drained-",
        "patternType": "prefix",
    } in given
    assert {"type": "topic", "name": "cdc.", "patternType": "prefix"} in given
    assert {"type": "group", "name": "onpoint-lineage", "patternType": "literal"} in given
    assert {"type": "cluster"} in given
