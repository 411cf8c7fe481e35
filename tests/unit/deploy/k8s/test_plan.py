"""The order of a rollout."""

import pytest

from deploy.k8s.rollout.plan import plan
from shared.events.topology import SERVICES
from tests.support.manifests import OVERLAYS, objects_of

JOBS = "tables, topics and buckets"

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@each_overlay
def test_tables_and_topics_are_complete_before_a_service_and_services_follow_the_topology(
    overlay: str,
) -> None:
    names = [step.name for step in plan(objects_of(overlay))]

    assert names[:3] == ["namespaces", "settings, secrets, network and servers", JOBS]
    assert tuple(names[3 : 3 + len(SERVICES)]) == SERVICES
    assert names[-1] == "autoscalers"


@each_overlay
def test_every_object_is_in_one_step(overlay: str) -> None:
    objects = objects_of(overlay)

    planned = [id(each) for step in plan(objects) for each in step.objects]
    assert sorted(planned) == sorted(map(id, objects))


@each_overlay
def test_jobs_run_anew_and_are_waited_for(overlay: str) -> None:
    (jobs,) = [step for step in plan(objects_of(overlay)) if step.name == JOBS]

    assert jobs.anew
    assert {each["kind"] for each in jobs.objects} == {"Job"}
    assert {condition for _, condition in jobs.waited_for()} == {"condition=Complete"}
    assert len(jobs.waited_for()) == len(jobs.objects)


@each_overlay
def test_a_service_is_rolled_out_before_the_next_one_begins(overlay: str) -> None:
    for step in plan(objects_of(overlay)):
        if step.name in SERVICES:
            assert step.waited_for() == [(f"deployment/{step.name}", "")]


def test_what_operators_make_of_their_objects_is_waited_for_before_the_jobs() -> None:
    needed = plan(objects_of("dev"))[1]

    waited = {name.partition("/")[0]: condition for name, condition in needed.waited_for()}
    assert waited == dict.fromkeys(("externalsecret", "kafka", "kafkatopic", "kafkauser"), "condition=Ready")


def test_a_step_without_objects_is_left_out() -> None:
    assert plan([]) == []
