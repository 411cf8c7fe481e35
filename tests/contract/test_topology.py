"""Files beside the code that describe the pipeline agree with shared/events/topology.py."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from deploy.local.ports import Ports
from shared.bus.topic_admin import load_topics
from shared.events import topics
from shared.events.topology import (
    LAST_STAGES,
    PARENT_STAGE,
    PIPELINE,
    RESULT_OF_STAGE,
    SERVICES,
    STAGES,
    ReplayStage,
    Stage,
    stages_of,
)

ROOT = Path(__file__).parents[2]


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_every_stage_has_one_entry_in_order() -> None:
    assert tuple(entry.name for entry in PIPELINE) == STAGES == get_args(Stage)


def test_a_stage_works_on_results_of_a_stage_before_it() -> None:
    for place, entry in enumerate(PIPELINE):
        assert entry.parent is None or entry.parent in STAGES[:place]


def test_every_stage_but_the_first_can_be_replayed_from() -> None:
    assert get_args(ReplayStage) == tuple(name for name in STAGES if PARENT_STAGE[name] is not None)


def test_the_last_stages_deliver() -> None:
    assert LAST_STAGES == ("converter", "loader", "s3sink")


@pytest.mark.parametrize(
    ("from_stage", "stages"),
    [
        (None, STAGES),
        ("processor", STAGES),
        ("converter", ("crawler", "processor", "converter")),
        ("loader", ("crawler", "processor", "loader")),
        ("s3sink", ("crawler", "processor", "s3sink")),
    ],
)
def test_a_replay_has_its_stage_and_what_depends_on_it(
    from_stage: ReplayStage | None, stages: tuple[Stage, ...]
) -> None:
    assert stages_of(from_stage) == stages


def test_every_result_topic_and_every_service_s_own_topics_are_declared() -> None:
    declared = set(load_topics(ROOT / "deploy/kafka/topics.yaml"))
    own = {f(service) for service in SERVICES for f in (topics.retry_topic, topics.dead_letter_topic)}
    assert set(RESULT_OF_STAGE.values()) | own <= declared


def test_every_service_is_a_container_and_has_a_port_and_a_folder() -> None:
    assert set(SERVICES) <= set(read_yaml("docker-compose.yml")["services"])
    assert set(SERVICES) <= set(Ports.model_fields)
    assert all((ROOT / "services" / name / "app.py").is_file() for name in SERVICES)


def test_the_ledger_s_tables_know_every_stage() -> None:
    sql = (ROOT / "services/quality/sql/0001_ledger.sql").read_text()
    (listed,) = re.findall(r"CHECK \(stage IN \(([^)]*)\)\)", sql)
    assert tuple(re.findall(r"'(\w+)'", listed)) == STAGES
    assert all(f"{name}_done" in sql and f"{name}_dead" in sql for name in STAGES)
