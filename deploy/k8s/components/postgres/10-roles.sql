-- Runs once, when the cluster is made. The services' role owns its database and is not a superuser.
\set password `cat /run/secrets/postgres_onpoint`
CREATE ROLE onpoint LOGIN PASSWORD :'password';
CREATE DATABASE onpoint OWNER onpoint;
-- Change capture reads what the services make, and nothing more.
\set password `cat /run/secrets/postgres_cdc`
CREATE ROLE onpoint_cdc LOGIN REPLICATION PASSWORD :'password';
\connect onpoint
ALTER DEFAULT PRIVILEGES FOR ROLE onpoint GRANT SELECT ON TABLES TO onpoint_cdc;
