"""The statements by which Athena, Spark, Trino and duckdb read a dataset of the lake. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import pyarrow as pa

from shared.datasets.lake import TableKind

Engine = Literal["athena", "spark", "trino", "duckdb"]
ENGINES: tuple[Engine, ...] = get_args(Engine)

_PATH = """regexp_extract("$path", '[^/]+$')"""
"""The name of a row's file, in Athena and in Trino."""

HOUR = ("year", "month", "day", "hour")
"""The partition by the hour in which a run was asked for."""

Spell: TypeAlias = Callable[[pa.DataType], str]


@dataclass(frozen=True, slots=True)
class LakeTable:
    """What the statements are about."""

    name: str
    location: str
    """Of the bucket, without a slash at its end."""
    schema: pa.Schema
    partitions: tuple[str, ...]
    compacted: tuple[str, ...]
    """Names of files that compactions made and that count."""
    replaced: tuple[str, ...]
    """Names of files of the sink that are in the bucket and do not count any more."""
    superseded: tuple[str, ...]
    """Runs whose rows a replay has brought again."""
    kind: TableKind | None = None
    """The dataset's table format, which tells what counts."""
    namespace: str = "onpoint"
    """Of Iceberg's catalog."""


def statements(table: LakeTable, engine: Engine) -> str:
    """Raises `ValueError`, with what to do instead, for a program that cannot read the dataset's table format."""
    if table.kind is not None and engine != "duckdb":
        return _of_delta(table, engine) if table.kind == "delta" else _of_iceberg(table, engine)
    match engine:
        case "duckdb":
            return _duckdb(table)
        case "athena":
            return _athena(table)
        case "spark":
            return _spark(table)
        case "trino":
            return _trino(table)


def _duckdb(table: LakeTable) -> str:
    """By the dataset's listing, which is read anew when the first statements are run."""
    listing = _text(f"{table.location}/_datasets/{table.name}.json")
    folder = _text(f"{table.location}/{table.name}/")
    inside = "regexp_replace(file.uri, '^[a-z0-9]+://[^/]+/[^/]+/', '')"
    columns = "{objects: 'STRUCT(uri VARCHAR)[]', superseded: 'MAP(VARCHAR, VARCHAR)'}"
    read = f"read_json({listing}, columns = {columns}, maximum_object_size = 1073741824)"
    files, superseded = f"{table.name}_files", f"{table.name}_superseded"
    return f"""\
-- Run the first two statements again to see what came since.
SET VARIABLE {_quoted(files)} = (
    SELECT list({folder} || {inside}) FROM (SELECT unnest(objects) AS file FROM {read})
);
SET VARIABLE {_quoted(superseded)} = (SELECT map_keys(superseded) FROM {read});
CREATE OR REPLACE VIEW {_quoted(table.name)} AS
SELECT * FROM read_parquet(getvariable({_text(files)}), hive_partitioning = true, union_by_name = true)
WHERE NOT list_contains(getvariable({_text(superseded)}), _run_id);
"""  # noqa: S608 - texts and names are quoted


def _athena(table: LakeTable) -> str:
    columns = ",\n    ".join(_columns(table, _hive, "`"))
    partitions = ", ".join(f"`{name}` string" for name in table.partitions)
    repair = "" if table.partitions == HOUR else f"MSCK REPAIR TABLE `{table.name}_files`;\n"
    projection = ""
    if table.partitions == HOUR:
        ranges = {"year": "2000,2099", "month": "1,12", "day": "1,31", "hour": "0,23"}
        properties = ["'projection.enabled' = 'true'"]
        for name, values in ranges.items():
            properties += [f"'projection.{name}.type' = 'integer'", f"'projection.{name}.range' = '{values}'"]
            properties += [f"'projection.{name}.digits' = '2'"] if name != "year" else []
        listed = ",\n    ".join(properties)
        projection = f"\nTBLPROPERTIES (\n    {listed}\n)"
    return f"""\
CREATE EXTERNAL TABLE IF NOT EXISTS `{table.name}_files` (
    {columns}
)
{f"PARTITIONED BY ({partitions})" if partitions else ""}
STORED AS PARQUET
LOCATION {_text(f"{table.location}/{table.name}/")}{projection};
{repair}{_view(table, f"{_quoted(table.name + '_files')}", '''regexp_extract("$path", '[^/]+$')''', '"')}"""


def _trino(table: LakeTable) -> str:
    columns = ",\n    ".join(
        [*_columns(table, _presto, '"'), *(f"{_quoted(name)} varchar" for name in table.partitions)]
    )
    partitioned = ", ".join(_text(name) for name in table.partitions)
    by = f",\n    partitioned_by = ARRAY[{partitioned}]" if partitioned else ""
    sync = (
        f"CALL system.sync_partition_metadata(current_schema, {_text(table.name + '_files')}, 'FULL');\n"
        if partitioned
        else ""
    )
    return f"""\
-- In a catalog of the Hive connector, e.g. after `USE hive.lake`.
CREATE TABLE IF NOT EXISTS {_quoted(table.name + "_files")} (
    {columns}
) WITH (
    format = 'PARQUET',
    external_location = {_text(f"{table.location}/{table.name}/")}{by}
);
{sync}{_view(table, _quoted(table.name + "_files"), '''regexp_extract("$path", '[^/]+$')''', '"')}"""


def _spark(table: LakeTable) -> str:
    columns = ",\n    ".join(
        [*_columns(table, _hive, "`"), *(f"`{name}` STRING" for name in table.partitions)]
    )
    by = ", ".join(f"`{name}`" for name in table.partitions)
    repair = f"MSCK REPAIR TABLE `{table.name}_files`;\n" if by else ""
    return f"""\
CREATE TABLE IF NOT EXISTS `{table.name}_files` (
    {columns}
) USING PARQUET
{f"PARTITIONED BY ({by})" if by else ""}
LOCATION {_text(f"{table.location}/{table.name}/")};
{repair}{_view(table, f"`{table.name}_files`", "substring_index(_metadata.file_path, '/', -1)", "`")}"""


def _of_delta(table: LakeTable, engine: Engine) -> str:
    """The log tells which files count."""
    name, location = f"{table.name}_table", _text(f"{table.location}/{table.name}")
    match engine:
        case "athena":
            properties = "TBLPROPERTIES ('table_type' = 'DELTA')"
            made = f"CREATE EXTERNAL TABLE IF NOT EXISTS `{name}`\nLOCATION {location}\n{properties};"
        case "spark":
            made = f"CREATE TABLE IF NOT EXISTS `{name}` USING DELTA\nLOCATION {location};"
        case _:
            arguments = f"schema_name => 'lake', table_name => {_text(name)}, table_location => {location}"
            made = f"""\
-- In a catalog of the Delta Lake connector, e.g. after `USE delta.lake`.
CALL system.register_table({arguments});"""
    return made + "\n" + _view_of_table(table, _quoted(name, _mark(engine)), engine)


def _of_iceberg(table: LakeTable, engine: Engine) -> str:
    """The table is in its catalog, which the program has to know."""
    if engine == "athena":
        raise ValueError(
            "Athena reads Iceberg tables of the Glue catalog alone: set ONPOINT_ICEBERG_CATALOG_URI to the REST endpoint "
            "of Glue, and the table is there; or take spark, trino or duckdb"
        )
    mark = _mark(engine)
    files = ".".join(_quoted(name, mark) for name in ("onpoint", table.namespace, table.name))
    return f"""\
-- The catalog `onpoint` of the program is that of ONPOINT_ICEBERG_CATALOG_URI (type rest), or else PostgreSQL: type jdbc,
-- with currentSchema=onpoint_lake in its URL and jdbc.schema-version V1.
{_view_of_table(table, files, engine)}"""


def _view_of_table(table: LakeTable, files: str, engine: Engine) -> str:
    mark = _mark(engine)
    where = f"\nWHERE {runs}" if (runs := _superseded(table)) else ""
    return f"""\
-- Make this view again after a replay: it leaves out the runs whose rows a replay has brought again.
CREATE OR REPLACE VIEW {_quoted(table.name, mark)} AS
SELECT * FROM {files}{where};
"""  # noqa: S608 - texts and names are quoted


def _mark(engine: Engine) -> str:
    return '"' if engine in {"trino", "duckdb"} else "`"


def _view(table: LakeTable, files: str, file_name: str, mark: str) -> str:
    """The files that count. A file that is made by a later compaction does not, and its sources do, until they go."""
    counts = f"{file_name} NOT LIKE 'c-%'"
    if table.replaced:
        counts += f"\n    AND {file_name} NOT IN ({_texts(table.replaced)})"
    if table.compacted:
        counts = f"({counts}\n    OR {file_name} IN ({_texts(table.compacted)}))"
    conditions = [counts, *([runs] if (runs := _superseded(table)) else [])]
    where = "\n    AND ".join(conditions)
    return f"""\
-- Make this view again within the grace time after a compaction (ONPOINT_LAKE_GRACE_HOURS).
CREATE OR REPLACE VIEW {mark}{table.name}{mark} AS
SELECT * FROM {files}
WHERE {where};
"""  # noqa: S608 - texts and names are quoted


def _superseded(table: LakeTable) -> str:
    return f"_run_id NOT IN ({_texts(table.superseded)})" if table.superseded else ""


def _columns(table: LakeTable, spell: Spell, mark: str) -> list[str]:
    """Without those whose name is that of a partition: it has the value there."""
    return [
        f"{_quoted(field.name, mark)} {spell(field.type)}"
        for field in table.schema
        if field.name not in table.partitions
    ]


_PLAIN: Mapping[str, tuple[str, str]] = {
    "string": ("string", "varchar"),
    "int8": ("tinyint", "tinyint"),
    "int16": ("smallint", "smallint"),
    "int32": ("int", "integer"),
    "int64": ("bigint", "bigint"),
    "float": ("float", "real"),
    "double": ("double", "double"),
    "bool": ("boolean", "boolean"),
    "date32[day]": ("date", "date"),
    "binary": ("binary", "varbinary"),
}
"""By Arrow's name: of Hive and Spark, and of Trino."""


def _hive(kind: pa.DataType) -> str:
    if isinstance(kind, pa.StructType):
        fields = [f"{_quoted(one.name, '`')}:{_hive(one.type)}" for one in kind]
        return f"struct<{','.join(fields)}>"
    if isinstance(kind, pa.ListType):
        return f"array<{_hive(kind.value_type)}>"
    if isinstance(kind, pa.TimestampType):
        return "timestamp"
    if isinstance(kind, pa.Decimal128Type):
        return f"decimal({kind.precision},{kind.scale})"
    return _PLAIN[str(kind)][0]


def _presto(kind: pa.DataType) -> str:
    if isinstance(kind, pa.StructType):
        fields = [f"{_quoted(one.name)} {_presto(one.type)}" for one in kind]
        return f"row({', '.join(fields)})"
    if isinstance(kind, pa.ListType):
        return f"array({_presto(kind.value_type)})"
    if isinstance(kind, pa.TimestampType):
        return "timestamp(6)"
    if isinstance(kind, pa.Decimal128Type):
        return f"decimal({kind.precision},{kind.scale})"
    return _PLAIN[str(kind)][1]


def _quoted(name: str, mark: str = '"') -> str:
    return mark + name.replace(mark, mark * 2) + mark


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _texts(values: Sequence[str]) -> str:
    return ", ".join(_text(value) for value in values)
