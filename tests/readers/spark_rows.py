"""Reads files by Spark, in an environment that has it; prints nothing. Run by the tests as a program of its own."""

import pickle
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import Column, Row, SparkSession, functions
from pyspark.sql.types import ArrayType, DataType, StructType, TimestampType

OPTIONS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.driver.memory": "512m",
    "spark.sql.shuffle.partitions": "1",
    # Files of other writers with days before 1582 or times before 1900: Spark asks which calendar they are in.
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.avro.datetimeRebaseModeInRead": "CORRECTED",
}


def main(target: Path, jars: str, *files: str) -> None:
    builder = SparkSession.builder.master("local[1]").appName("readers")
    for name, value in {**OPTIONS, "spark.jars": jars}.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    found: dict[str, Any] = {}
    for file in files:
        frame = spark.read.format(Path(file).suffix[1:]).load(file)
        columns = [as_micros(frame[field.name], field.dataType).alias(field.name) for field in frame.schema]
        rows = [plain(row) for row in frame.select(*columns).orderBy("id").collect()]
        found[file] = {
            "types": {field.name: field.dataType.simpleString() for field in frame.schema},
            "rows": rows,
        }
    target.write_bytes(pickle.dumps(found))
    spark.stop()


def as_micros(value: Column, kind: DataType) -> Column:
    """Timestamps as numbers: Python's side of Spark has none of the first day of the year 1."""
    if isinstance(kind, TimestampType):
        return functions.unix_micros(value)
    if isinstance(kind, ArrayType):
        return functions.transform(value, lambda item: as_micros(item, kind.elementType))
    if isinstance(kind, StructType):
        fields = [as_micros(value[field.name], field.dataType).alias(field.name) for field in kind]
        return functions.when(value.isNotNull(), functions.struct(*fields))
    return value


def plain(value: Any) -> Any:
    if isinstance(value, Row):
        return {name: plain(inner) for name, inner in value.asDict().items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return bytes(value) if isinstance(value, bytearray) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
