"""What the environments are made of, as the plan's JSON tells: sizes, encryption, networks, backups, alarms."""

import ipaddress
import json

import pytest
import yaml

from deploy.k8s.manifests.cluster import OPTIONAL, required
from tests.support.records import ROOT
from tests.terraform.plan import Plan, Values

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

ACCOUNT = "123456789012"


@pytest.fixture(params=["dev", "prod"])
def plan(request: pytest.FixtureRequest) -> Plan:
    found: Plan = request.getfixturevalue(request.param)
    return found


def parameters(plan: Plan, role: str) -> dict[str, str]:
    group = plan.one(f'module.database["{role}"].aws_db_parameter_group.this')
    return {found["name"]: found["value"] for found in group["parameter"]}


def database(plan: Plan, role: str) -> Values:
    return plan.one(f'module.database["{role}"].aws_db_instance.this')


class TestNetwork:
    @pytest.mark.parametrize("kind", ["public", "private", "data"])
    def test_each_kind_of_subnet_is_in_three_zones(self, plan: Plan, kind: str) -> None:
        found = [v for a, v in plan.of("aws_subnet").items() if f".aws_subnet.{kind}[" in a]
        assert len({subnet["availability_zone"] for subnet in found}) == 3
        assert not any(subnet["map_public_ip_on_launch"] for subnet in found)

    def test_no_two_subnets_share_an_address(self, plan: Plan) -> None:
        blocks = [ipaddress.ip_network(subnet["cidr_block"]) for subnet in plan.of("aws_subnet").values()]
        assert len(blocks) == 9
        assert not any(one.overlaps(other) for one in blocks for other in blocks if one is not other)

    def test_a_lost_zone_takes_no_other_zones_way_out_in_prod(self, dev: Plan, prod: Plan) -> None:
        assert (len(dev.of("aws_nat_gateway")), len(prod.of("aws_nat_gateway"))) == (1, 3)

    def test_no_server_is_open_to_the_world(self, plan: Plan) -> None:
        for address, rule in plan.of("aws_vpc_security_group_ingress_rule").items():
            assert rule["cidr_ipv4"] in {None, "10.20.0.0/16", "10.21.0.0/16"}, address
        assert not plan.of("aws_security_group_rule")

    def test_flow_logs_are_kept(self, plan: Plan) -> None:
        assert plan.one("module.network.aws_flow_log.this")["traffic_type"] == "REJECT"


class TestCluster:
    def test_prod_has_the_nodes_that_were_asked_for(self, prod: Plan) -> None:
        nodes = prod.one("module.cluster.aws_eks_node_group.this")
        assert nodes["instance_types"] == ["m5.2xlarge"]
        [scaling] = nodes["scaling_config"]
        assert (scaling["min_size"], scaling["desired_size"], scaling["max_size"]) == (2, 4, 20)

    def test_the_api_is_private_unless_addresses_are_named(self, dev: Plan, prod: Plan) -> None:
        [private] = dev.one("module.cluster.aws_eks_cluster.this")["vpc_config"]
        assert (private["endpoint_private_access"], private["endpoint_public_access"]) == (True, False)
        [named] = prod.one("module.cluster.aws_eks_cluster.this")["vpc_config"]
        assert named["public_access_cidrs"] == ["203.0.113.0/24"]

    def test_its_secrets_are_encrypted_by_a_key(self, plan: Plan) -> None:
        [encryption] = plan.one("module.cluster.aws_eks_cluster.this")["encryption_config"]
        assert encryption["resources"] == ["secrets"]

    def test_a_pod_cannot_take_its_nodes_role(self, plan: Plan) -> None:
        [options] = plan.one("module.cluster.aws_launch_template.node")["metadata_options"]
        assert (options["http_tokens"], options["http_put_response_hop_limit"]) == ("required", 1)

    def test_a_nodes_disk_is_encrypted(self, plan: Plan) -> None:
        [disk] = plan.one("module.cluster.aws_launch_template.node")["block_device_mappings"]
        assert disk["ebs"][0]["encrypted"] == "true"

    def test_network_policies_are_enforced_and_pods_can_be_measured(self, plan: Plan) -> None:
        addons = {v["addon_name"]: v for v in plan.of("aws_eks_addon").values()}
        assert json.loads(addons["vpc-cni"]["configuration_values"]) == {"enableNetworkPolicy": "true"}
        assert "metrics-server" in addons

    def test_who_made_the_cluster_is_no_hidden_administrator(self, plan: Plan) -> None:
        [access] = plan.one("module.cluster.aws_eks_cluster.this")["access_config"]
        assert (access["authentication_mode"], access["bootstrap_cluster_creator_admin_permissions"]) == (
            "API",
            False,
        )


class TestDatabases:
    @pytest.mark.parametrize("role", ["data", "airflow"])
    def test_it_is_encrypted_private_and_backed_up(self, plan: Plan, role: str) -> None:
        found = database(plan, role)
        assert found["storage_encrypted"]
        assert not found["publicly_accessible"]
        assert found["backup_retention_period"] == 7
        assert found["performance_insights_enabled"]
        assert found["monitoring_interval"] == 60

    @pytest.mark.parametrize("role", ["data", "airflow"])
    def test_terraform_never_sees_its_password(self, plan: Plan, role: str) -> None:
        found = database(plan, role)
        assert found["manage_master_user_password"]
        assert found["password"] is None
        assert found["password_wo"] is None

    @pytest.mark.parametrize("role", ["data", "airflow"])
    def test_in_prod_it_has_a_standby_and_cannot_be_deleted(self, prod: Plan, role: str) -> None:
        found = database(prod, role)
        assert (found["multi_az"], found["deletion_protection"], found["skip_final_snapshot"]) == (
            True,
            True,
            False,
        )

    @pytest.mark.parametrize("role", ["data", "airflow"])
    def test_clients_must_encrypt(self, plan: Plan, role: str) -> None:
        assert parameters(plan, role)["rds.force_ssl"] == "1"
        assert parameters(plan, role)["log_min_duration_statement"] == "1000"

    def test_changes_of_the_data_can_be_captured(self, plan: Plan) -> None:
        assert parameters(plan, "data")["rds.logical_replication"] == "1"
        assert "rds.logical_replication" not in parameters(plan, "airflow")

    def test_a_reader_that_stopped_cannot_fill_the_disk(self, plan: Plan) -> None:
        kept_mb = int(parameters(plan, "data")["max_slot_wal_keep_size"])
        assert kept_mb * 2 <= database(plan, "data")["allocated_storage"] * 1024


class TestKafka:
    def test_dev_has_it_in_the_cluster(self, dev: Plan) -> None:
        assert not dev.of("aws_msk_cluster")

    def test_clients_come_by_tls_with_a_name(self, prod: Plan) -> None:
        cluster = prod.one("module.kafka[0].aws_msk_cluster.this")
        [encryption] = cluster["encryption_info"]
        assert [(t["client_broker"], t["in_cluster"]) for t in encryption["encryption_in_transit"]] == [
            ("TLS", True)
        ]
        [clients] = cluster["client_authentication"]
        assert not clients["unauthenticated"]
        assert [(sasl["iam"], sasl["scram"]) for sasl in clients["sasl"]] == [(True, True)]

    def test_a_broker_is_in_each_zone(self, prod: Plan) -> None:
        assert prod.one("module.kafka[0].aws_msk_cluster.this")["number_of_broker_nodes"] == 3

    def test_its_configuration_is_what_the_topics_need(self, prod: Plan) -> None:
        text = prod.one("module.kafka[0].aws_msk_configuration.this")["server_properties"]
        found = dict(line.split("=", 1) for line in text.splitlines())
        declared = yaml.safe_load((ROOT / "deploy/kafka/topics.yaml").read_text())
        services = declared["services"]
        longest = max(services["retry"]["max_message_bytes"], services["dlq"]["max_message_bytes"])
        assert found == {
            "auto.create.topics.enable": "false",
            "default.replication.factor": "3",
            "min.insync.replicas": "2",
            "unclean.leader.election.enable": "false",
            "allow.everyone.if.no.acl.found": "false",
            "num.partitions": str(declared["defaults"]["partitions"]),
            "log.retention.hours": str(declared["defaults"]["retention_hours"]),
            "message.max.bytes": str(declared["defaults"]["max_message_bytes"]),
            "replica.fetch.max.bytes": str(longest),
        }

    def test_each_user_has_a_secret_that_msk_can_read(self, prod: Plan) -> None:
        names = {
            v["name"]
            for v in prod.of("aws_secretsmanager_secret").values()
            if v["name"].startswith("AmazonMSK_")
        }
        assert "AmazonMSK_onpoint-prod_loader" in names
        assert len(names) == 13


class TestOptions:
    def test_redis_is_there_for_celery_alone(self, dev: Plan, prod: Plan) -> None:
        assert not dev.of("aws_elasticache_replication_group")
        found = prod.one("module.redis[0].aws_elasticache_replication_group.this")
        assert (found["transit_encryption_enabled"], found["at_rest_encryption_enabled"]) == (True, "true")
        assert (found["automatic_failover_enabled"], found["node_type"]) == (True, "cache.r5.xlarge")

    def test_dms_has_the_settings_of_its_files(self, dev: Plan, prod: Plan) -> None:
        assert not dev.of("aws_dms_replication_task")
        files = {
            name: json.loads((ROOT / "deploy/dms" / f"{name}.json").read_text())
            for name in ("task-settings", "table-mappings", "s3-endpoint-settings")
        }
        task = prod.one("module.capture[0].aws_dms_replication_task.this")
        assert json.loads(task["replication_task_settings"]) == files["task-settings"]
        assert json.loads(task["table_mappings"]) == files["table-mappings"]
        assert task["migration_type"] == "full-load-and-cdc"
        target = prod.one("module.capture[0].aws_dms_s3_endpoint.target")
        asked = {
            "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_"): value
            for name, value in files["s3-endpoint-settings"].items()
        }
        # The bucket has a key, which the file, for any bucket, does not name.
        assert asked.pop("encryption_mode") == "sse-s3"
        # The provider keeps it in lower case.
        asked["date_partition_sequence"] = asked["date_partition_sequence"].lower()
        assert {name: target[name] for name in asked} == asked
        assert target["encryption_mode"] == "SSE_KMS"


class TestHandover:
    def test_kubernetes_gets_the_lines_that_it_knows(self, dev: Plan, prod: Plan) -> None:
        assert dev.outputs["cluster_env"] == set(required())
        assert prod.outputs["cluster_env"] == {*required(), *OPTIONAL}

    def test_the_secrets_have_the_names_that_kubernetes_asks_for(self, prod: Plan) -> None:
        made = {v["name"] for v in prod.of("aws_secretsmanager_secret").values()}
        asked = {
            found["remoteRef"]["key"]
            for each in yaml.safe_load_all(
                (ROOT / "deploy/k8s/overlays/prod/cluster/secrets.yaml").read_text()
            )
            if each["kind"] == "ExternalSecret"
            for found in each["spec"]["data"]
        }
        assert asked
        assert asked - made == set()


class TestWatch:
    def test_every_alarm_reaches_someone(self, plan: Plan) -> None:
        assert {v["endpoint"] for v in plan.of("aws_sns_topic_subscription").values()} == {"data@example.org"}
        alarms = plan.of("aws_cloudwatch_metric_alarm")
        assert len(alarms) >= 11
        assert all("alarm_actions" in plan.unknown[address] for address in alarms), (
            "known once the topic is there"
        )

    @pytest.mark.parametrize(
        "name",
        [
            "data-disk",
            "data-cpu",
            "data-slot",
            "airflow-disk",
            "kafka-disk-3",
            "kafka-offline",
            "redis-memory",
            "runs-dead",
        ],
    )
    def test_an_alarm_is_there(self, prod: Plan, name: str) -> None:
        alarms = {v["alarm_name"] for v in prod.of("aws_cloudwatch_metric_alarm").values()}
        assert f"onpoint-prod-{name}" in alarms

    def test_the_budget_warns_before_it_is_spent(self, plan: Plan) -> None:
        [budget] = plan.of("aws_budgets_budget").values()
        assert sorted((n["notification_type"], n["threshold"]) for n in budget["notification"]) == [
            ("ACTUAL", 80),
            ("ACTUAL", 100),
            ("FORECASTED", 100),
        ]

    def test_logs_end_and_are_encrypted(self, plan: Plan) -> None:
        groups = plan.of("aws_cloudwatch_log_group")
        assert len(groups) >= 6
        for address, group in groups.items():
            assert group["retention_in_days"] in {30, 365}, address
            assert plan.unknown[address]["kms_key_id"] is True, address

    def test_a_key_changes_each_year(self, plan: Plan) -> None:
        keys = plan.of("aws_kms_key")
        assert len(keys) == 4
        assert all(key["enable_key_rotation"] for key in keys.values())
