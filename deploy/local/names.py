"""What the parts of the stack are called; `ps`, `logs` and the control socket use these names."""

from typing import Literal

from shared.events.topology import SERVICES

Kind = Literal["component", "service"]
State = Literal["starting", "ready", "restarting", "stopped"]

DASK_SCHEDULER = "dask-scheduler"
CONNECT = "kafka-connect"
CDC_SINK = "s3sink-cdc"
CDC_STEP = "cdc"
"""Of a stack with change capture."""
PROMETHEUS, ALERTMANAGER = "prometheus", "alertmanager"
"""Of a stack that is observed."""
COMPONENTS = ("kafka", "postgres", "seaweedfs")
STEPS = ("buckets", "topics", "migrate")
"""Programs that run once at every start and must succeed."""
LEFT_OUT = "left out: "
"""What a step writes before a dataset file or table that it goes on without."""
SUPERVISOR = "supervisor"
LOGS = (*COMPONENTS, *SERVICES, *STEPS, SUPERVISOR)
CDC_LOGS = (CONNECT, CDC_SINK, CDC_STEP)
OBSERVE_LOGS = (PROMETHEUS, ALERTMANAGER)


def dask_worker(number: int) -> str:
    """From 1."""
    return f"dask-worker-{number}"
