"""Health as quality answers it over HTTP, through an Airflow connection."""

import http.client
import json
from collections.abc import Mapping
from typing import Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException

CONNECTION_ID = "onpoint_quality"
PATH = "/health/pipeline"
TIMEOUT_S = 60
"""A database that does not answer is waited for."""
MAX_BYTES = 4 * 1024 * 1024
ANSWERS = (http.client.OK, http.client.SERVICE_UNAVAILABLE)
"""The second says that the pipeline has failed, and how is in it."""


def read_report(connection_id: str = CONNECTION_ID) -> dict[str, Any]:
    """The report of this moment. Raises `AirflowException` where quality does not give one."""
    connection = Connection.get(connection_id)
    secure = connection.schema == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    client = kind(connection.host or "", connection.port or (443 if secure else 80), timeout=TIMEOUT_S)
    try:
        client.request("GET", PATH)
        answer = client.getresponse()
        body = answer.read(MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise AirflowException(f"quality does not answer at {connection.host}: {error}") from error
    finally:
        client.close()
    if answer.status not in ANSWERS:
        raise AirflowException(f"quality answered {answer.status} for {PATH}")
    try:
        report = json.loads(body)
        return {**report, "status": str(report["status"]), "checks": list(report["checks"])}
    except (ValueError, KeyError, TypeError) as error:
        raise AirflowException(f"what quality answered is no report: {type(error).__name__}") from error


def describe(report: Mapping[str, Any]) -> str:
    """A line for each check, and one for each thing in it that is not healthy."""
    lines = [f"the pipeline is {report['status']}, measured at {report['measured_at']}"]
    for check in report["checks"]:
        lines.append(f"{check['name']}: {check['status']} since {check['since']}")
        lines += [
            f"  {reading['item']}: {reading['status']} since {reading['since']}: {_value(reading)}"
            for reading in check["readings"]
            if reading["status"] != "HEALTHY"
        ]
    return "\n".join(lines)


def _value(reading: Mapping[str, Any]) -> str:
    said = (
        f"{reading['value']} {reading['unit']}, limit {reading['limit']}"
        if reading["value"] is not None
        else ""
    )
    return "; ".join(part for part in (said, reading["note"]) if part)
