-- Change capture: how far each topic of a table is in the lake. The next object begins at next_offset; every record below
-- read_offset is in an object or is no change. A claim is an object on its way: its name is decided. A table that stopped
-- at a gap goes on behind it once a full load was asked for (anew).
CREATE TABLE onpoint_lake.cdc_tables (
    topic text PRIMARY KEY,
    table_name text NOT NULL,
    next_offset bigint NOT NULL,
    read_offset bigint NOT NULL,
    claimed_last bigint,
    claimed_key text,
    stopped text,
    anew boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK (read_offset >= next_offset),
    CHECK ((claimed_last IS NULL) = (claimed_key IS NULL))
);

-- An object of change capture that is in the lake. The offsets of a topic have no gap and no overlap.
CREATE TABLE onpoint_lake.cdc_objects (
    topic text NOT NULL,
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    key text NOT NULL,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    first_lsn bigint,
    last_lsn bigint,
    written_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, first_offset),
    CHECK (last_offset >= first_offset)
);
