"""Facets of OpenLineage, as plain values. Their versions are those of the specification of 2026. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.datasets.column import Column
from shared.datasets.model import Dataset
from shared.events.models import Artifact, CheckResult
from shared.version import CODE_VERSION

PRODUCER: Final = f"urn:onpoint:{CODE_VERSION}"
"""A name, not an address: the specification asks for a URI of the code that made the event."""
_SPEC: Final = "https://openlineage.io/spec"

MAX_SOURCE_CHARS = 64 * 1024
"""Of a dataset's file: an event must stay below a megabyte."""

Facet = dict[str, Any]


def facet(version: str, name: str, /, **values: Any) -> Facet:
    """A facet of the specification, without what is None."""
    schema = f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": schema} | {
        key: value for key, value in values.items() if value is not None
    }


def parent(run_uuid: str, namespace: str, job: str) -> Facet:
    run, of = {"runId": run_uuid}, {"namespace": namespace, "name": job}
    return facet("1-2-0", "ParentRunFacet", run=run, job=of, root={"run": run, "job": of})


def engine(code_version: str) -> Facet:
    return facet(
        "1-1-1",
        "ProcessingEngineRunFacet",
        version=code_version,
        name="onpoint",
        openlineageAdapterVersion=CODE_VERSION,
    )


def nominal_time(start: str) -> Facet:
    return facet("1-0-1", "NominalTimeRunFacet", nominalStartTime=start)


def error_message(message: str) -> Facet:
    return facet("1-0-1", "ErrorMessageRunFacet", message=message, programmingLanguage="python")


def job_type(name: str) -> Facet:
    return facet("2-0-4", "JobTypeJobFacet", processingType="BATCH", integration="ONPOINT", jobType=name)


def source_code(dataset: Dataset) -> Facet:
    """The dataset's file, as the run was frozen with: it is what the stages do."""
    text = dataset.model_dump_json(by_alias=True, exclude_unset=True)
    return facet("1-0-1", "SourceCodeJobFacet", language="json", sourceCode=text[:MAX_SOURCE_CHARS])


def schema(columns: Sequence[Column]) -> Facet:
    fields = [
        {"name": column.name, "type": str(column.value_type), "ordinal_position": place}
        for place, column in enumerate(columns, 1)
    ]
    return facet("1-2-0", "SchemaDatasetFacet", fields=fields)


def storage(layer: str, file_format: str) -> Facet:
    return facet("1-0-1", "StorageDatasetFacet", storageLayer=layer, fileFormat=file_format)


def version(text: str) -> Facet:
    return facet("1-0-1", "DatasetVersionDatasetFacet", datasetVersion=text)


def output_statistics(rows: int, files: Sequence[Artifact] = ()) -> Facet:
    return facet(
        "1-0-2",
        "OutputStatisticsOutputDatasetFacet",
        rowCount=rows,
        size=sum(file.bytes for file in files) if files else None,
        fileCount=len(files) or None,
    )


def input_statistics(rows: int) -> Facet:
    return facet("1-0-0", "InputStatisticsInputDatasetFacet", rowCount=rows)


def quality_metrics(rows: int, nulls: Mapping[str, int]) -> Facet:
    columns = {name: {"nullCount": count} for name, count in nulls.items()}
    return facet("1-0-3", "DataQualityMetricsInputDatasetFacet", rowCount=rows, columnMetrics=columns)


def assertions(checks: Sequence[CheckResult]) -> Facet:
    """The checks of a dataset when its run ended."""
    found = [
        {
            "assertion": check.name,
            "success": check.passed,
            "severity": check.severity,
            **({"actual": str(check.value)} if check.value is not None else {}),
            **({"expected": _expected(check.expected)} if check.expected else {}),
        }
        for check in checks
    ]
    return facet("1-1-0", "DataQualityAssertionsDatasetFacet", assertions=found)


def _expected(bounds: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in bounds.items())
