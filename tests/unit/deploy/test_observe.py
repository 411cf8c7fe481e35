"""What Prometheus and Alertmanager of the local stack are given."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local import observe
from deploy.local.config import Observation, StackConfig
from deploy.local.errors import StackError
from deploy.local.home import Home
from deploy.local.managed_process import ProcessSpec
from deploy.local.ports import Ports


def config(tmp_path: Path, **fields: Any) -> StackConfig:
    observation = {
        "prometheus": tmp_path / "usr/bin/prometheus",
        "alertmanager": tmp_path / "usr/bin/alertmanager",
    }
    nowhere = Path("nowhere")
    return StackConfig(
        ports=Ports(),
        services=("crawler", "quality"),
        staging_bucket="staging",
        lake_bucket="lake",
        overrides={},
        java=nowhere,
        weed=nowhere,
        kafka_jars=nowhere,
        postgres_programs=nowhere,
        hang_s=60,
        observe=Observation(**(observation | fields)),
    )


async def prepared(tmp_path: Path, **fields: Any) -> tuple[dict[str, ProcessSpec], Path]:
    home = Home(tmp_path / "home")
    home.create()
    specs = {spec.name: spec for spec in observe.observe_specs(home, config(tmp_path, **fields))}
    for spec in specs.values():
        await spec.prepare()
    return specs, home.data


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_nothing_watches_a_stack_that_did_not_ask_for_it(tmp_path: Path) -> None:
    bare = config(tmp_path).model_copy(update={"observe": None})
    assert observe.observe_specs(Home(tmp_path), bare) == []


async def test_each_listens_on_loopback_alone(tmp_path: Path) -> None:
    specs, _ = await prepared(tmp_path)
    assert "--web.listen-address=127.0.0.1:28090" in specs["prometheus"].argv
    assert "--web.listen-address=127.0.0.1:28093" in specs["alertmanager"].argv
    assert "--cluster.listen-address=" in specs["alertmanager"].argv


async def test_prometheus_finds_the_services_and_alertmanager(tmp_path: Path) -> None:
    _, data = await prepared(tmp_path)
    document = read(data / "prometheus" / "prometheus.yaml")
    assert document["alerting"]["alertmanagers"][0]["static_configs"] == [{"targets": ["127.0.0.1:28093"]}]
    assert read(data / "prometheus" / "targets.json") == [
        {"targets": ["127.0.0.1:28001"], "labels": {"service": "crawler"}},
        {"targets": ["127.0.0.1:28006"], "labels": {"service": "quality"}},
    ]
    assert "@" not in (data / "prometheus" / "prometheus.yaml").read_text()


async def test_rules_are_the_shipped_ones_in_the_time_that_was_asked_for(tmp_path: Path) -> None:
    _, data = await prepared(tmp_path)
    shipped = read(observe.FILES / "rules" / "alerts.yaml")
    assert read(data / "prometheus" / "rules" / "alerts.yaml") == shipped
    _, data = await prepared(tmp_path / "fast", time_scale=0.02)
    assert read(data / "prometheus" / "rules" / "alerts.yaml") != shipped
    assert read(data / "prometheus" / "prometheus.yaml")["global"]["scrape_interval"] == "1000ms"


async def test_alerts_go_to_the_webhook_from_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    _, data = await prepared(tmp_path, webhook_url="http://127.0.0.1:1/secret")
    file = data / "alertmanager" / "alertmanager.yaml"
    assert {receiver["webhook_configs"][0]["url"] for receiver in read(file)["receivers"]} == {
        "http://127.0.0.1:1/secret"
    }
    assert file.stat().st_mode & 0o077 == 0
    assert "secret" not in repr(config(tmp_path, webhook_url="http://127.0.0.1:1/secret"))


async def test_debians_alertmanager_has_its_templates_where_it_looks_for_them(tmp_path: Path) -> None:
    (tmp_path / "usr/share/prometheus/alertmanager").mkdir(parents=True)
    specs, _ = await prepared(tmp_path)
    argv = specs["alertmanager"].argv
    assert argv[0] == "unshare"
    assert ("--user" in argv) is (os.geteuid() != 0)
    assert str(tmp_path / "usr/share") in argv


@pytest.mark.parametrize("text", ["0", "2", "-1", "fast"])
def test_a_time_scale_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="must be a number above 0 and up to 1"):
        observe.choose({observe.SCALE_SETTING: text}, lambda _: None)


def test_a_webhook_that_is_no_address_is_refused_without_showing_it() -> None:
    with pytest.raises(StackError) as caught:
        observe.choose({observe.WEBHOOK_SETTING: "hooks/secret"}, lambda _: None)
    assert "secret" not in str(caught.value)
