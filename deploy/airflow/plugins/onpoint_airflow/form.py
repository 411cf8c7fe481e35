"""What a person can choose for a run by hand; the schedule takes the defaults."""

from collections.abc import Sequence

from airflow.sdk import Param

from shared.events.names import SUPPORTED_FORMATS


def form(daily: Sequence[str]) -> dict[str, Param]:
    """The parameters of a DAG run; `daily` are the datasets of the scheduled one."""
    return {
        "datasets": Param(
            [*daily],
            type="array",
            items={"type": "string"},
            minItems=1,
            title="Datasets",
            description="One a line, as the command onpoint datasets lists them.",
        ),
        "parameters": Param(
            {},
            type="object",
            title="Parameters per dataset",
            description='Such as {"stories": {"limit": 500}}: its first 500 records.',
        ),
        "formats": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "enum": [*SUPPORTED_FORMATS]},
            examples=[*SUPPORTED_FORMATS],
            title="Export formats",
            description="Empty: each dataset's own.",
        ),
        "fail_on_partial": Param(
            False,
            type="boolean",
            title="Fail on a partial run",
            description="Off: a run with dead batches, missing pages or many rejected rows passes; its summary names them.",
        ),
        "timeout_minutes": Param(
            180,
            type="number",
            exclusiveMinimum=0,
            title="Wait at most, in minutes",
            description="Then the DAG run fails; the run itself goes on in OnPoint.",
        ),
    }
