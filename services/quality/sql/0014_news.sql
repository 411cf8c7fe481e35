-- News: what happened, and to which channels it is sent. An item's id is derived of what it tells, so that it is there once.
CREATE SCHEMA onpoint_news;

CREATE TABLE onpoint_news.items (
    item_id text PRIMARY KEY,
    kind text NOT NULL,
    item jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX items_by_age ON onpoint_news.items (created_at);

CREATE TABLE onpoint_news.outbox (
    item_id text NOT NULL REFERENCES onpoint_news.items ON DELETE CASCADE,
    channel text NOT NULL,
    delivery_id text NOT NULL,                -- what a channel can know a repeat by
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed')),
    tries integer NOT NULL DEFAULT 0,
    in_doubt boolean NOT NULL DEFAULT false,  -- a try ended without an answer: the channel may have it already
    claim text,                               -- of the try that goes on; only it may tell the outcome
    claimed_until timestamptz,
    next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- later than created_at where a person asked again
    sent_at timestamptz,
    PRIMARY KEY (item_id, channel)
);

CREATE INDEX outbox_due ON onpoint_news.outbox (channel, next_try_at) WHERE state = 'pending';
CREATE INDEX outbox_by_age ON onpoint_news.outbox (created_at DESC);

-- Nothing from before this moment becomes news.
CREATE TABLE onpoint_news.beginning (
    is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO onpoint_news.beginning DEFAULT VALUES;

CREATE INDEX completions_by_time ON onpoint_runs.completions (completed_at);

-- Since when a run of a dataset is expected where none has ended yet.
CREATE TABLE onpoint_news.expectations (
    dataset text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The state of each thing that a health check looks at, and since when it has been so.
CREATE TABLE onpoint_news.health (
    check_name text NOT NULL,
    item text NOT NULL,
    status text NOT NULL CHECK (status IN ('HEALTHY', 'WARNING', 'STALE', 'NO_DATA', 'FAILED')),
    since timestamptz NOT NULL,
    told text NOT NULL,                       -- the last status that was news
    measured_at timestamptz NOT NULL,
    PRIMARY KEY (check_name, item)
);

-- The last measurement, whole.
CREATE TABLE onpoint_news.health_report (
    is_one boolean PRIMARY KEY DEFAULT true CHECK (is_one),
    measured_at timestamptz NOT NULL,
    report jsonb NOT NULL
);
