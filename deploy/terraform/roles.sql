-- The logins of the pipeline in a PostgreSQL of RDS, by its master: makes what is missing and sets the passwords, so it is also run
-- when they were rotated. Passwords come by the environment, and are in no argument of a process:
--   ONPOINT_PASSWORD=… CONNECT_PASSWORD=… [DMS_PASSWORD=…] psql "$MASTER_DSN" -v ON_ERROR_STOP=1 -f deploy/terraform/roles.sql
-- The server of Terraform logs slow statements alone, so no password is in its log.
-- docs/deploy/aws.md has the commands that read them from Secrets Manager.

\getenv password ONPOINT_PASSWORD
SELECT 'CREATE ROLE onpoint LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'onpoint') \gexec
ALTER ROLE onpoint PASSWORD :'password';
-- The master of RDS is no superuser: to give a database away it has to be a member of the role.
GRANT onpoint TO CURRENT_USER;
SELECT format('ALTER DATABASE %I OWNER TO onpoint', current_database()) \gexec

-- Kafka Connect reads the log of changes, and the tables that `onpoint cdc register` grants it.
\getenv password CONNECT_PASSWORD
SELECT 'CREATE ROLE onpoint_cdc LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'onpoint_cdc') \gexec
ALTER ROLE onpoint_cdc PASSWORD :'password';
GRANT rds_replication TO onpoint_cdc;
ALTER DEFAULT PRIVILEGES FOR ROLE onpoint GRANT SELECT ON TABLES TO onpoint_cdc;

-- Where DMS captures changes instead.
\set dms_password ''
\getenv dms_password DMS_PASSWORD
SELECT :'dms_password' <> '' AS has_dms \gset
\if :has_dms
SELECT 'CREATE ROLE onpoint_dms LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'onpoint_dms') \gexec
ALTER ROLE onpoint_dms PASSWORD :'dms_password';
GRANT rds_replication TO onpoint_dms;
ALTER DEFAULT PRIVILEGES FOR ROLE onpoint GRANT SELECT ON TABLES TO onpoint_dms;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO onpoint_dms;
\endif
