"""What `onpoint bench COMMAND --help` shows below the options."""

E2E_EXAMPLES = """\b
Examples:
  onpoint bench e2e                         200,000 records, once
  onpoint bench e2e --rows 1000000 --repeat 3
  onpoint bench e2e --second loader         what a second process of it adds
  onpoint bench e2e --formats parquet,csv   with exports
  onpoint bench e2e --rows 1000000 --set ONPOINT_LOADER_WORKERS=1
  onpoint bench e2e --json | jq .ratio

\b
The bench starts a stack of its own and removes it: nobody's data is touched.
Beside it, on the same servers, runs the bare chain: the least that one
program must do for the same result. Run it while the machine has nothing else
to do. With --formats there are exports, which the bare chain has not.

\b
Exit codes: 0 measured and equal in content; 1 not; 2 wrong use.
"""

GROW_EXAMPLES = """\b
Examples:
  onpoint bench grow                0.1, 1 and 5 million records
  onpoint bench grow --rows 100000 --rows 400000 --json
  onpoint bench grow --repeat 3     a noisy machine: the median of three each

\b
Linear is a rate that stays; flat is a peak of memory that stays. Each size
has a stack of its own, which is removed again.
"""

OBSERVED_EXAMPLES = """\b
Examples:
  onpoint bench observed
  onpoint bench observed --rows 1000000 --repeat 3 --json | jq .cost_cpu

\b
The bench starts three stacks of its own, which take 8 GB, and removes them.
Runs go by turns, so what else the machine does falls on all of them alike.
"""

DASK_EXAMPLES = """\b
Examples:
  onpoint bench dask                      what a cluster on this machine costs
  onpoint bench dask --workers 8 --elsewhere 2 --rows 100 --batches 64

\b
The bench starts a stack of its own and removes it. With --elsewhere workers
wait instead of computing: how well many machines would be kept busy.
"""

PROCESS_EXAMPLES = """\b
Examples:
  onpoint bench process                     100,000 records of about 500 bytes
  onpoint bench process --rows 20000 --repeat 10
  onpoint bench process --json | jq '.[].of_polars'

\b
The processor's whole work on one batch but its commit, from raw lines in
staging to Parquet in staging, and by turns with it bare polars without any
check, and Dask on pandas. CPU time counts, not the clock's. It needs no
server, and the extras `bench` and `dask` for the others.
"""

TRANSFORM_EXAMPLES = """\b
Examples:
  onpoint bench transform
  onpoint bench transform --rows 10000 --repeat 20 --json | jq .cost

\b
One batch is processed from raw lines to Parquet, in this process and those
that it starts, without a stack. CPU time counts, not the clock's.
"""

LAKE_EXAMPLES = """\b
Examples:
  onpoint bench lake
  onpoint bench lake --rows 500000 --repeat 5 --json

\b
Rows that are sorted already, rows in any order, and rows of 100 folders.
Beside them: read, concatenate, write, hash and upload with bare pyarrow,
which sorts nothing and makes one file.
"""

CONVERT_EXAMPLES = """\b
Examples:
  onpoint bench convert                     100,000 records, three turns
  onpoint bench convert --rows 1000000 --repeat 1
  onpoint bench convert --json | jq '.[].ratio'

\b
Every export format writes the same records of about 500 bytes, and in turns
with it the writer that people use instead: pandas with its defaults,
openpyxl, fastavro. It needs no server, and the extra `bench` for the others.
"""

CDC_EXAMPLES = """\b
Examples:
  onpoint bench cdc
  onpoint bench cdc --rows 1000000 --repeat 1 --json | jq .changes_per_cpu_s

\b
Changes as Debezium sends them go from Kafka to Parquet in the lake: by the
sink of change capture, and by consumers that take one record at a time
through the steps of a sink of Kafka Connect, with Python's json and with
orjson. CPU time counts, not the clock's.
The bench starts a stack of its own and removes it.
"""

CDC_LOAD_EXAMPLES = """\b
Examples:
  onpoint bench cdc-load
  onpoint bench cdc-load --rows 100000 --json | jq .load_s

\b
The first registration of a table with rows: the clock runs from the command to
the last object in the lake, through PostgreSQL, Debezium, Kafka and the sink.
Then a single change, on a table at rest. The bench starts a stack of its own
and removes it.
"""
