CREATE SCHEMA IF NOT EXISTS onpoint_console;

-- Who did what to which dead letter, and when. A row is written before its action, so that none goes without one.
CREATE TABLE onpoint_console.dlq_actions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    action text NOT NULL CHECK (action IN ('replay', 'discard')),
    service text NOT NULL,                    -- whose dead letter, and its place in that service's topic
    "partition" integer NOT NULL,
    "offset" bigint NOT NULL,
    original_topic text,                      -- where the record that died came from; null: nobody can tell
    original_partition integer,
    original_offset bigint,
    run_id text,
    batch_id text,
    reason text,                              -- why it was discarded, in somebody's words
    acknowledged_at timestamptz               -- null: begun; whether it happened is not known, so it does not count
);

CREATE INDEX dlq_actions_of_letter ON onpoint_console.dlq_actions (service, "partition", "offset", id DESC);
