-- Tables to which the loader may add columns, and whose columns it may make wider. `onpoint migrate` writes it.
CREATE TABLE onpoint_loader.evolving_tables (
    table_name text PRIMARY KEY,
    adds boolean NOT NULL,          -- schema: {new_columns: evolve}
    widens boolean NOT NULL,        -- schema: {types: widen}
    most_columns integer NOT NULL   -- the pipeline's own included
);

-- Brings one column of such a table to a type: adds it, or makes it wider. Returns the type that it then has.
--
-- It runs with the rights of the role that owns the tables, so that the loader needs none of them, and only the loader's
-- role may call it. It does what is listed here and nothing else: no name and no type of the caller gets into a statement
-- unchecked, a table must be registered, and a column never becomes narrower.
CREATE FUNCTION onpoint_loader.evolve_column(of_table text, of_column text, wanted text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '5s'
AS $$
DECLARE
    registered onpoint_loader.evolving_tables;
    place regclass := to_regclass(format('public.%I', of_table));
    found text;
BEGIN
    SELECT * INTO registered FROM onpoint_loader.evolving_tables e WHERE e.table_name = of_table;
    IF registered IS NULL OR place IS NULL THEN
        RAISE EXCEPTION 'table % is not marked as one that evolves', of_table
            USING ERRCODE = 'undefined_table';
    END IF;
    IF of_column !~ '^[a-z][a-z0-9_]{0,62}$' OR of_column = 'etl_processed_at'
        OR wanted <> ALL (ARRAY['smallint', 'integer', 'bigint', 'double precision', 'boolean', 'text', 'jsonb'])
    THEN
        RAISE EXCEPTION 'column % % cannot be made', of_column, wanted USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two loaders take turns, and what they see after that stays as it is until the commit.
    PERFORM pg_advisory_xact_lock(hashtextextended('onpoint evolve ' || of_table, 0));
    SELECT format_type(a.atttypid, a.atttypmod) INTO found FROM pg_attribute a
    WHERE a.attrelid = place AND a.attname = of_column AND NOT a.attisdropped AND a.attnum > 0;
    IF found IS NULL THEN
        IF NOT registered.adds OR registered.most_columns <= (
            SELECT count(*) FROM pg_attribute a WHERE a.attrelid = place AND a.attnum > 0 AND NOT a.attisdropped
        ) THEN
            RAISE EXCEPTION 'table % has as many columns as its file allows', of_table
                USING ERRCODE = 'undefined_column';
        END IF;
        EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', place, of_column, wanted);
        RETURN wanted;
    END IF;
    IF found = wanted OR NOT registered.widens OR EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = place AND i.indisprimary AND a.attname = of_column
    ) THEN
        RETURN found;
    END IF;
    IF (found, wanted) IN (
        ('smallint', 'integer'), ('smallint', 'bigint'), ('smallint', 'double precision'),
        ('integer', 'bigint'), ('integer', 'double precision'),
        ('smallint', 'text'), ('integer', 'text'), ('bigint', 'text'),
        ('real', 'text'), ('double precision', 'text'), ('boolean', 'text')
    ) THEN
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE %s USING %2$I::%3$s', place, of_column, wanted);
        RETURN wanted;
    END IF;
    RETURN found;
END
$$;
REVOKE ALL ON FUNCTION onpoint_loader.evolve_column(text, text, text) FROM PUBLIC;
