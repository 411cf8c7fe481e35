"""The pipeline: its stages, what each works on and where its results go. A new stage is one entry of `PIPELINE`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from shared.events import topics

Stage = Literal["crawler", "processor", "converter", "loader", "s3sink"]
"""The names alone, as type checkers need them: `PIPELINE` has one entry for each."""

ReplayStage = Literal["processor", "converter", "loader", "s3sink"]
"""The stages from which a run can be replayed."""


@dataclass(frozen=True, slots=True)
class StageEntry:
    """One stage of the pipeline."""

    name: Stage
    parent: Stage | None
    """The stage whose results it works on; None: it works on requests."""
    result_topic: str
    """The topic of its done batches."""
    commits_in_staging: bool
    """True: its manifests are objects in staging. False: its results are committed in its own tables."""


PIPELINE: Final = (
    StageEntry("crawler", None, topics.BATCH_CRAWLED, commits_in_staging=True),
    StageEntry("processor", "crawler", topics.BATCH_PROCESSED, commits_in_staging=True),
    StageEntry("converter", "processor", topics.BATCH_CONVERTED, commits_in_staging=True),
    StageEntry("loader", "processor", topics.BATCH_LOADED, commits_in_staging=False),
    StageEntry("s3sink", "processor", topics.BATCH_STORED, commits_in_staging=False),
)

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
SERVICES: Final[tuple[str, ...]] = (*STAGES, "quality")
"""Each stage is a service. Quality is not a stage: it keeps the ledger of them all."""

PARENT_STAGE: Final[Mapping[Stage, Stage | None]] = {stage.name: stage.parent for stage in PIPELINE}
RESULT_OF_STAGE: Final[Mapping[Stage, str]] = {stage.name: stage.result_topic for stage in PIPELINE}
STAGE_OF_RESULT: Final[Mapping[str, Stage]] = {stage.result_topic: stage.name for stage in PIPELINE}
STAGES_IN_STAGING: Final = frozenset(stage.name for stage in PIPELINE if stage.commits_in_staging)

CONSUMES: Final[Mapping[str, tuple[str, ...]]] = {
    "crawler": (topics.CRAWL_REQUESTED, topics.CRAWL_BATCH_REQUESTED),
    "processor": (topics.BATCH_CRAWLED,),
    "converter": (topics.BATCH_PROCESSED, topics.EXPORTS_COMBINE_REQUESTED),
    "loader": (topics.BATCH_PROCESSED,),
    "s3sink": (topics.BATCH_PROCESSED, topics.RUN_SEALED),
    "quality": (
        topics.CRAWL_PLANNED,
        *RESULT_OF_STAGE.values(),
        topics.BATCH_FAILED,
        topics.RUN_DRAINED,
        topics.EXPORTS_COMBINED,
    ),
}
"""Which service answers for what, beside its own retry topic: what it cannot handle is in its dead letters."""

LISTENS: Final[Mapping[str, tuple[str, ...]]] = {
    "quality": (topics.CRAWL_REQUESTED, topics.CRAWL_BATCH_REQUESTED),
}
"""What a service reads and another one answers for."""

FOLLOWS: Final[Mapping[str, tuple[str, ...]]] = {
    "lineage": (
        topics.CRAWL_PLANNED,
        *RESULT_OF_STAGE.values(),
        topics.BATCH_FAILED,
        topics.RUN_COMPLETED,
    ),
}
"""What a process reads and answers nothing for: the checker does not wait for it. Lineage is a process of its own."""

PUBLISHES: Final[Mapping[str, tuple[str, ...]]] = {
    "crawler": (
        topics.CRAWL_BATCH_REQUESTED,
        topics.CRAWL_PLANNED,
        topics.BATCH_CRAWLED,
        topics.BATCH_FAILED,
    ),
    "processor": (topics.BATCH_PROCESSED, topics.BATCH_FAILED),
    "converter": (topics.BATCH_CONVERTED, topics.EXPORTS_COMBINED, topics.BATCH_FAILED),
    "loader": (topics.BATCH_LOADED, topics.BATCH_FAILED),
    "s3sink": (topics.BATCH_STORED, topics.BATCH_FAILED),
    "quality": (
        topics.RUN_SEALED,
        topics.RUN_DRAINED,
        topics.RUN_COMPLETED,
        topics.EXPORTS_COMBINE_REQUESTED,
    ),
}
"""What a service publishes, beside its own retries and dead letters."""

TRANSACTIONAL: Final[Mapping[str, tuple[str, ...]]] = {"quality": (topics.RUN_DRAINED,)}
"""What a service reads and answers in Kafka transactions. Their ids begin as `transactional_id_prefix` says."""

LAST_STAGES: Final = tuple(name for name in STAGES if name not in PARENT_STAGE.values())
"""The stages that deliver: no other works on their results."""

TOPICS: Final[tuple[str, ...]] = (
    *(value for name, value in vars(topics).items() if name.isupper()),
    *(name(service) for service in SERVICES for name in (topics.retry_topic, topics.dead_letter_topic)),
)
"""Every topic of the pipeline."""


def stages_of(from_stage: ReplayStage | None) -> tuple[Stage, ...]:
    """The stages that a run has: all, or, in a replay, `from_stage`, what it depends on and what depends on it.

    None: the run is not a replay. A replay copies the results of the stages before `from_stage`.
    """
    if from_stage is None:
        return STAGES
    return tuple(name for name in STAGES if from_stage in _line(name) or name in _line(from_stage))


def _line(stage: Stage) -> list[Stage]:
    """The stage, its parent and so on."""
    line = [stage]
    while (parent := PARENT_STAGE[line[-1]]) is not None:
        line.append(parent)
    return line
