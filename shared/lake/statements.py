"""The SQL of compactions."""

DATASETS = "SELECT DISTINCT dataset FROM onpoint_lake.v_stored_files ORDER BY dataset"

# The files that count, with the runs whose rows they have. A run that has not ended may still be written.
CURRENT = """
SELECT f.uri, f.rows, f.bytes, f.sha256, jsonb_build_object(f.run_id, f.rows) AS runs,
    coalesce(l.ended_at IS NOT NULL, false) AS is_settled, NULL AS compaction, false AS is_latest
FROM onpoint_lake.v_stored_files f LEFT JOIN onpoint_runs.v_listings l USING (run_id)
WHERE f.dataset = $1 AND NOT EXISTS (SELECT FROM onpoint_lake.v_replaced_files r WHERE r.uri = f.uri)
UNION ALL
SELECT c.uri, c.rows, c.bytes, c.sha256,
    (SELECT jsonb_object_agg(r.run_id, r.rows) FROM onpoint_lake.compaction_runs r WHERE r.compaction = c.compaction),
    true, c.compaction, c.latest
FROM onpoint_lake.v_compacted_files c
WHERE c.dataset = $1
ORDER BY uri
"""

UNFINISHED = """
SELECT name, state, uri, bytes, rows, latest, written_at,
    ARRAY (SELECT s.uri FROM onpoint_lake.compaction_sources s WHERE s.compaction = name ORDER BY s.uri) AS sources
FROM onpoint_lake.compactions
WHERE dataset = $1 AND state IN ('planned', 'written')
ORDER BY planned_at, name
"""

PLAN = """
INSERT INTO onpoint_lake.compactions (name, dataset, folder, latest) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING true
"""

CLAIM_SOURCES = """
INSERT INTO onpoint_lake.compaction_sources (compaction, uri, rows, bytes, sha256)
SELECT $1, given.* FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[]) AS given
ORDER BY 2
ON CONFLICT DO NOTHING
RETURNING uri
"""

UNDO = "DELETE FROM onpoint_lake.compactions WHERE name = $1 AND state IN ('planned', 'written')"

WRITTEN = """
UPDATE onpoint_lake.compactions
SET state = 'written', uri = $2, rows = $3, bytes = $4, sha256 = $5, written_at = now()
WHERE name = $1 AND state = 'planned'
RETURNING written_at
"""

RUNS = """
INSERT INTO onpoint_lake.compaction_runs (compaction, run_id, rows)
SELECT $1, given.* FROM unnest($2::text[], $3::bigint[]) AS given
"""

COMMIT = """
UPDATE onpoint_lake.compactions SET state = 'committed', committed_at = now()
WHERE name = $1 AND state = 'written'
RETURNING dataset
"""

MARK_CHANGED = "SELECT onpoint_lake.mark_changed($1::text[])"

MARK_RUNS_BEHIND = """
SELECT onpoint_runs.mark_listings_behind(
    ARRAY (SELECT r.run_id FROM onpoint_lake.compaction_runs r WHERE r.compaction = $1)
)
"""

# A listing is written with all that is committed before its writing begins: one that is current names the object.
MARK_LISTED = """
UPDATE onpoint_lake.compactions c SET state = 'listed', listed_at = now()
WHERE c.state = 'committed'
    AND NOT EXISTS (
        SELECT FROM onpoint_lake.dataset_listings d WHERE d.dataset = c.dataset AND d.written < d.changes
    )
    AND NOT EXISTS (
        SELECT FROM onpoint_lake.compaction_runs r JOIN onpoint_runs.v_listings l USING (run_id)
        WHERE r.compaction = c.name AND NOT l.is_current
    )
RETURNING c.name
"""

# Listings of datasets that are behind.
DUE = "SELECT dataset, changes FROM onpoint_lake.dataset_listings WHERE written < changes ORDER BY dataset"

HEAD = "SELECT changes FROM onpoint_lake.dataset_listings WHERE dataset = $1"

LISTING_WRITTEN = """
UPDATE onpoint_lake.dataset_listings SET written = greatest(written, $2) WHERE dataset = $1
"""

# Of runs that are superseded, the one that supersedes them, where it has the dataset too.
SUPERSEDED = """
SELECT r.run_id, r.superseded_by
FROM onpoint_runs.v_runs r JOIN onpoint_runs.v_runs later ON later.run_id = r.superseded_by
WHERE $1 = ANY (r.datasets) AND $1 = ANY (later.datasets)
ORDER BY r.run_id
"""

# Bytes after the dataset's compactions by the bytes before, of those that left no row out.
RATIO = """
SELECT sum(c.bytes)::float8 / nullif(sum(s.bytes), 0)
FROM onpoint_lake.compactions c
JOIN LATERAL (SELECT sum(bytes) AS bytes FROM onpoint_lake.compaction_sources WHERE compaction = c.name) AS s ON true
WHERE c.dataset = $1 AND c.state IN ('committed', 'listed') AND NOT c.latest
"""

# Replaced files that no sweep may have taken yet.
WAITING = """
SELECT count(*) AS objects, coalesce(sum(bytes), 0)::bigint AS bytes
FROM onpoint_lake.v_replaced_files
WHERE dataset = $1 AND (listed_at IS NULL OR listed_at > now() - make_interval(hours => $2))
"""

# Files that were replaced and may be in the bucket still: the sweep has yet to come, or has been.
REPLACED = "SELECT uri FROM onpoint_lake.v_replaced_files WHERE dataset = $1 ORDER BY uri"
