"""The main job, on real records and real components: every value arrives once, and `run.completed` counts it."""

import csv
import gzip
import io
import json
import uuid
from datetime import datetime
from typing import Any

import fastavro
import openpyxl
import pyarrow.feather as pf
import pyarrow.parquet as pq
import pytest

from shared.events.names import SUPPORTED_FORMATS
from tests.support.operator import Operator
from tests.support.pipeline import Pipeline
from tests.support.records import COLUMNS, TestData

pytestmark = pytest.mark.e2e

JSONPLACEHOLDER = ("posts", "users", "comments", "todos", "albums", "photos")
EVERYTHING = (*JSONPLACEHOLDER, "stories")


def new_run() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def assert_row_accounting(summary: dict[str, Any]) -> None:
    assert summary["rows_crawled"] == (
        summary["rows_accepted"] + summary["rows_rejected"] + summary["rows_deduplicated"]
    )
    delivered = summary["rows_loaded"] + summary["rows_superseded"] + summary["rows_not_loaded"]
    assert summary["rows_accepted"] == delivered
    assert summary["rows_accepted"] == summary["rows_stored"] + summary["rows_not_stored"]


async def test_all_records_arrive_value_for_value_and_a_second_run_changes_nothing(
    pipeline: Pipeline, test_data: TestData
) -> None:
    first, second = new_run(), new_run()
    done = await pipeline.run({"run_id": first, "datasets": list(EVERYTHING)}, within_s=120)
    assert (done["status"], done["reason"]) == ("succeeded", None)
    for dataset in EVERYTHING:
        expected = test_data.expected(dataset)
        assert await pipeline.rows(dataset) == expected
        assert pipeline.lake_rows(first, dataset) == expected
        summary = done["datasets"][dataset]
        assert_row_accounting(summary)
        assert summary["rows_loaded"] == summary["rows_stored"] == len(expected)
        assert summary["rows_rejected"] == summary["rows_superseded"] == summary["batches_dead"] == 0
        assert summary["exports"] == {"parquet": summary["batches"], "csv": summary["batches"]}
    assert done["checks"]
    assert all(check["passed"] for check in done["checks"])

    listings = set(pipeline.listings())
    await pipeline.run({"run_id": second, "datasets": list(EVERYTHING)}, within_s=120)
    for dataset in EVERYTHING:
        assert await pipeline.rows(dataset) == test_data.expected(dataset)
        (who,) = await pipeline.fetch(f"SELECT DISTINCT _run_id FROM onpoint_{dataset}")
        assert who["_run_id"] == second
        assert pipeline.lake_rows(first, dataset) == test_data.expected(dataset)
    assert set(pipeline.listings()) - listings == {f"_runs/{second}.json"}


async def test_every_row_has_its_run_and_its_place(pipeline: Pipeline, test_data: TestData) -> None:
    run_id = new_run()
    done = await pipeline.run({"run_id": run_id, "datasets": ["comments"]})
    rows = await pipeline.fetch("SELECT * FROM onpoint_comments ORDER BY _source_position")
    assert [row["_source_position"] for row in rows] == list(range(len(test_data.records["comments"])))
    assert {row["_run_id"] for row in rows} == {run_id}
    assert {row["_requested_at"] for row in rows} == {datetime.fromisoformat(done["requested_at"])}
    assert all(row["etl_processed_at"] >= row["_requested_at"] for row in rows)


async def test_the_exports_contain_the_same_records(pipeline: Pipeline, test_data: TestData) -> None:
    run_id = new_run()
    await pipeline.run({"run_id": run_id, "datasets": ["users"], "formats": list(SUPPORTED_FORMATS)})
    exports = {
        export["format"]: export for export in pipeline.listing(run_id)["datasets"]["users"]["exports"]
    }
    assert set(exports) == set(SUPPORTED_FORMATS)
    expected = test_data.expected("users")
    table = pq.read_table(io.BytesIO(pipeline.read(exports["parquet"]["uri"])))
    assert [tuple(row.values()) for row in table.to_pylist()] == expected
    text = gzip.decompress(pipeline.read(exports["csv"]["uri"])).decode()
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    assert header == list(COLUMNS["users"])
    # A leading sign is escaped for spreadsheets: latitudes are texts here.
    plain = [tuple(cell.removeprefix("'") for cell in line) for line in lines]
    assert plain == [tuple(str(value) for value in row) for row in expected]
    records = gzip.decompress(pipeline.read(exports["json"]["uri"])).splitlines()
    assert [tuple(json.loads(record).values()) for record in records] == expected
    sheet = openpyxl.load_workbook(io.BytesIO(pipeline.read(exports["xlsx"]["uri"]))).worksheets[0]
    assert [tuple(cell.value for cell in row) for row in sheet.iter_rows(min_row=2)] == expected
    assert pf.read_table(io.BytesIO(pipeline.read(exports["feather"]["uri"]))).equals(table)
    assert list(fastavro.reader(io.BytesIO(pipeline.read(exports["avro"]["uri"])))) == table.to_pylist()


async def test_the_batches_of_a_run_are_combined_into_one_file(
    pipeline: Pipeline, test_data: TestData
) -> None:
    run_id = new_run()
    await pipeline.run({"run_id": run_id, "datasets": ["photos"], "formats": ["csv"]})
    operator = Operator(pipeline.environment)
    result = await operator.run("exports", "combine", run_id, "--formats", "json", "--json")
    assert result.code == 0, result.err
    [manifest] = result.json()
    [file] = manifest["files"]
    folder = manifest["manifest"].rpartition("/")[0]
    records = gzip.decompress(pipeline.read(f"{folder}/{file['name']}")).splitlines()
    assert [tuple(json.loads(record).values()) for record in records] == test_data.expected("photos")
    assert json.loads(pipeline.read(manifest["manifest"]))["files"] == [file]
    checked = await operator.run("verify", run_id)
    assert checked.code == 0, checked.out


async def test_a_request_that_names_only_datasets_gets_the_same_run(
    pipeline: Pipeline, test_data: TestData
) -> None:
    async with pipeline.completions() as completions:
        await pipeline.request({"datasets": ["posts"]})
        done = None
        while done is None:
            found = await completions.for_a_while(1)
            done = next((value for value in found if value["run_id"].startswith("r-")), None)
    assert done["status"] == "succeeded"
    assert list(done["datasets"]) == ["posts"]
    assert pipeline.lake_rows(done["run_id"], "posts") == test_data.expected("posts")


async def test_a_limit_takes_the_first_records(pipeline: Pipeline, test_data: TestData) -> None:
    run_id = new_run()
    parameters = {"photos": {"limit": 42}, "stories": {"limit": 7}}
    done = await pipeline.run({"run_id": run_id, "datasets": ["photos", "stories"], "parameters": parameters})
    assert pipeline.lake_rows(run_id, "photos") == test_data.expected("photos")[:42]
    assert pipeline.lake_rows(run_id, "stories") == test_data.expected("stories")[:7]
    assert done["datasets"]["photos"]["rows_crawled"] == 42
    rows = await pipeline.rows("photos", f"_run_id = '{run_id}'")
    assert rows == test_data.expected("photos")[:42]


async def test_no_formats_means_no_exports(pipeline: Pipeline) -> None:
    done = await pipeline.run({"run_id": new_run(), "datasets": ["albums"], "formats": []})
    assert done["status"] == "succeeded"
    assert done["datasets"]["albums"]["exports"] == {}


async def test_an_object_of_the_lake_lies_at_the_hour_of_the_request(pipeline: Pipeline) -> None:
    run_id = new_run()
    done = await pipeline.run({"run_id": run_id, "datasets": ["todos"]})
    (entry,) = pipeline.listing(run_id)["datasets"]["todos"]["objects"]
    day, hour = done["requested_at"][:10].split("-"), done["requested_at"][11:13]
    folder = f"/todos/year={day[0]}/month={day[1]}/day={day[2]}/hour={hour}/"
    assert folder in entry["uri"]
    assert done["datasets"]["todos"]["bytes_stored"] == entry["bytes"] == len(pipeline.read(entry["uri"]))
