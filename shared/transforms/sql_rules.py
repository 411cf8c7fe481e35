"""Which statements a step may have: one SELECT on `batch` that gives the same for the same rows.

The statement is parsed and not run. What is refused here could not be reached in the locked connection either; here it
is told with its name, when the dataset file is read.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from shared.datasets.transform import BATCH
from shared.transforms.locked import locked_connection

PARSER_BYTES = 256 * 2**20

_NODES: Final = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_TABLE_FUNCTIONS: Final = frozenset({"unnest", "range", "generate_series"})
_REFERENCES: Final = frozenset({"SHOW_REF", "COLUMN_DATA", "DELIM_GET", "TABLE_FUNCTION", "BASE_TABLE"})

_CLOCK_AND_SESSION: Final = frozenset(
    {
        "ago", "current_catalog", "current_database", "current_date", "current_localtime", "current_localtimestamp",
        "current_query", "current_role", "current_schema", "current_schemas", "current_setting", "current_time",
        "current_timestamp", "current_user", "get_current_time", "get_current_timestamp", "getenv", "getvariable",
        "in_search_path", "localtime", "localtimestamp", "now",
        "pg_conf_load_time", "pg_postmaster_start_time", "reservoir_quantile",
        "session_user", "today", "transaction_timestamp", "txid_current", "user", "version",
    }
)  # fmt: skip
"""Their values depend on when, where or how often they are asked. So does `age` of one time."""

_KEYWORDS: Final = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
"""Functions that are written like columns."""


def fault_in(sql: str) -> str | None:
    """Why the statement cannot be a step; None: it can, as far as that is known without the rows' columns."""
    with locked_connection(PARSER_BYTES) as connection:
        [text] = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone() or ("{}",)
        parsed = json.loads(text)
        if parsed.get("error"):
            return _not_parsed(parsed, sql)
        statements = parsed.get("statements", [])
        if len(statements) != 1:
            return f"one statement is expected, not {len(statements)}"
    return next(_faults(statements[0]), None)


def _not_parsed(parsed: dict[str, Any], sql: str) -> str:
    if parsed.get("error_type") == "not implemented":
        return "only SELECT is taken: a step reads the batch and changes nothing"
    position = str(parsed.get("position"))
    line = f", in its line {sql.count(chr(10), 0, int(position)) + 1}" if position.isdigit() else ""
    return f"it is no SQL: {parsed.get('error_message', 'it cannot be read')}{line}"


def _faults(statement: dict[str, Any]) -> Iterator[str]:
    parts = list(_walk(statement))
    known = {BATCH, *(str(part["key"]).lower() for part in parts if "key" in part and "value" in part)}
    for part in parts:
        if isinstance(node := part.get("type"), str) and node.endswith("_NODE") and node not in _NODES:
            yield "only SELECT is taken: a step reads the batch and changes nothing"
        if part.get("sample"):
            yield "a sample is not the same twice: choose the rows by their values"
        yield from _faults_of_table(part, known)
        yield from _faults_of_expression(part)


def _faults_of_table(part: dict[str, Any], known: set[str]) -> Iterator[str]:
    match part.get("type") if "class" not in part else None:
        case "BASE_TABLE":
            path = (part.get("qualified_name") or {}).get("path") or [part.get("table_name", "")]
            if len(path) != 1 or str(path[0]).lower() not in known:
                yield f"there is no table {'.'.join(map(str, path))[:100]}: a step reads {BATCH} and nothing else"
        case "TABLE_FUNCTION":
            name = str((part.get("function") or {}).get("function_name", "")).lower()
            if name not in _TABLE_FUNCTIONS:
                yield f"{name}() is not there: a step reads {BATCH} and nothing else"
        case other if other in _REFERENCES:
            yield f"a step reads {BATCH} and nothing else"


def _faults_of_expression(part: dict[str, Any]) -> Iterator[str]:
    match part.get("class"):
        case "FUNCTION":
            name = str(part.get("function_name", "")).lower()
            is_since_today = name == "age" and len(part.get("arguments", ())) == 1
            if is_since_today or name in _CLOCK_AND_SESSION or name in _volatile():
                yield f"{name}() is not the same twice: a batch that is processed again must give the same rows"
        case "COLUMN_REF":
            names = [str(name).lower() for name in part.get("column_names", ())]
            if len(names) == 1 and names[0] in _KEYWORDS:
                yield f"{names[0]} is not the same twice: a batch that is processed again must give the same rows"
        case "PARAMETER":
            yield "it has a parameter, and no one gives it a value"


def _walk(part: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in it, without recursion: a statement may nest deeply."""
    waiting = [part]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


@lru_cache(maxsize=1)
def _volatile() -> frozenset[str]:
    with locked_connection(PARSER_BYTES) as connection:
        rows = connection.execute(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE stability = 'VOLATILE'"
        ).fetchall()
    return frozenset(name for (name,) in rows)
