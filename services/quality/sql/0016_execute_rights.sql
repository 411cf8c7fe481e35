-- The function writes with the rights of its owner: nobody may call it but its owner and roles that keep runs.
DO $$
DECLARE
    keeper regrole;
BEGIN
    FOR keeper IN
        SELECT DISTINCT a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'onpoint_runs.runs'::regclass AND a.privilege_type = 'UPDATE' AND a.grantee <> 0
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION onpoint_runs.mark_listings_behind(text[]) TO %s', keeper);
    END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION onpoint_runs.mark_listings_behind(text[]) FROM PUBLIC;
