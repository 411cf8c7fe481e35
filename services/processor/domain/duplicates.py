import polars as pl
import pyarrow as pa


def last_of_each_key(keys: pa.Table) -> pl.Series:
    """True for the rows to keep: the last of those with the same key. Memory is the keys and one flag per row."""
    frame = pl.from_arrow(keys)
    if not isinstance(frame, pl.DataFrame):
        raise TypeError("a table is expected")
    key = pl.struct(pl.all()) if keys.num_columns > 1 else pl.all()
    return frame.select(key.is_last_distinct().alias("kept")).to_series()


def count_repeated(keys: pa.Table, contents: pl.Series, kept: pl.Series) -> int:
    """Of the rows that are not kept, those whose content (by its hash) is that of the kept row with their key."""
    frame = pl.DataFrame(pl.from_arrow(keys)).with_columns(contents.alias("_content"), kept.alias("_kept"))
    others = frame.filter(~pl.col("_kept"))
    return others.join(frame.filter("_kept"), on=[*keys.column_names, "_content"], how="semi").height
