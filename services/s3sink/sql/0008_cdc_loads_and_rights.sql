-- How far the full load of a table is in the lake: its rows so far, and how many PostgreSQL estimated when it began.
ALTER TABLE onpoint_lake.cdc_tables
    ADD COLUMN loaded_rows bigint NOT NULL DEFAULT 0,
    ADD COLUMN expected_rows bigint;

-- The function writes with the rights of its owner: nobody may call it but its owner and roles that keep runs.
DO $$
DECLARE
    keeper regrole;
BEGIN
    FOR keeper IN
        SELECT DISTINCT a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'onpoint_runs.runs'::regclass AND a.privilege_type = 'UPDATE' AND a.grantee <> 0
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION onpoint_lake.mark_changed(text[]) TO %s', keeper);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION onpoint_lake.mark_changed(text[]) FROM PUBLIC;
