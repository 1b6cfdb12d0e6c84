\set ON_ERROR_STOP on
SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';
SELECT 'CREATE ROLE app LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') \gexec
ALTER ROLE app LOGIN PASSWORD 'SCRAM-SHA-256$4096:fake-app';
SELECT 'CREATE ROLE pgs_probe LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgs_probe') \gexec
ALTER ROLE pgs_probe LOGIN PASSWORD 'SCRAM-SHA-256$4096:fake-probe';
ALTER ROLE postgres PASSWORD NULL;
SELECT 'DROP OWNED BY pgs_replication_2' WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgs_replication_2') \gexec
DROP ROLE IF EXISTS pgs_replication_2;
SELECT 'DROP OWNED BY pgs_rewind_2' WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgs_rewind_2') \gexec
DROP ROLE IF EXISTS pgs_rewind_2;
SELECT 'CREATE DATABASE app OWNER app' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'app') \gexec
REVOKE ALL ON DATABASE app FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS pgs AUTHORIZATION pgs_probe;
CREATE TABLE IF NOT EXISTS pgs.proof (id uuid PRIMARY KEY, entry text NOT NULL, at timestamptz NOT NULL DEFAULT now());
ALTER TABLE pgs.proof OWNER TO pgs_probe;
SELECT 'CREATE ROLE pgs_lookup NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgs_lookup') \gexec
SELECT 'CREATE ROLE pgs_pooler LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgs_pooler') \gexec
ALTER ROLE pgs_pooler LOGIN PASSWORD NULL;
GRANT SELECT (rolname, rolpassword, rolcanlogin, rolsuper, rolreplication, rolvaliduntil) ON pg_catalog.pg_authid TO pgs_lookup;
CREATE SCHEMA IF NOT EXISTS pgs_pooler AUTHORIZATION pgs_lookup;
CREATE OR REPLACE FUNCTION pgs_pooler.lookup(wanted text) RETURNS TABLE (name text, verifier text) LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$ SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper AND NOT rolreplication AND (rolvaliduntil IS NULL OR rolvaliduntil > now()) AND rolname NOT IN ('pgs_rewind', 'pgs_replication', 'pgs_pooler') $body$;
ALTER FUNCTION pgs_pooler.lookup(text) OWNER TO pgs_lookup;
REVOKE ALL ON FUNCTION pgs_pooler.lookup(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgs_pooler TO pgs_pooler;
GRANT EXECUTE ON FUNCTION pgs_pooler.lookup(text) TO pgs_pooler;
GRANT CONNECT ON DATABASE app TO pgs_pooler;
\connect app
GRANT SELECT (rolname, rolpassword, rolcanlogin, rolsuper, rolreplication, rolvaliduntil) ON pg_catalog.pg_authid TO pgs_lookup;
CREATE SCHEMA IF NOT EXISTS pgs_pooler AUTHORIZATION pgs_lookup;
CREATE OR REPLACE FUNCTION pgs_pooler.lookup(wanted text) RETURNS TABLE (name text, verifier text) LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$ SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper AND NOT rolreplication AND (rolvaliduntil IS NULL OR rolvaliduntil > now()) AND rolname NOT IN ('pgs_rewind', 'pgs_replication', 'pgs_pooler') $body$;
ALTER FUNCTION pgs_pooler.lookup(text) OWNER TO pgs_lookup;
REVOKE ALL ON FUNCTION pgs_pooler.lookup(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgs_pooler TO pgs_pooler;
GRANT EXECUTE ON FUNCTION pgs_pooler.lookup(text) TO pgs_pooler;
\connect template1
GRANT SELECT (rolname, rolpassword, rolcanlogin, rolsuper, rolreplication, rolvaliduntil) ON pg_catalog.pg_authid TO pgs_lookup;
CREATE SCHEMA IF NOT EXISTS pgs_pooler AUTHORIZATION pgs_lookup;
CREATE OR REPLACE FUNCTION pgs_pooler.lookup(wanted text) RETURNS TABLE (name text, verifier text) LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$ SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper AND NOT rolreplication AND (rolvaliduntil IS NULL OR rolvaliduntil > now()) AND rolname NOT IN ('pgs_rewind', 'pgs_replication', 'pgs_pooler') $body$;
ALTER FUNCTION pgs_pooler.lookup(text) OWNER TO pgs_lookup;
REVOKE ALL ON FUNCTION pgs_pooler.lookup(text) FROM PUBLIC;
GRANT USAGE ON SCHEMA pgs_pooler TO pgs_pooler;
GRANT EXECUTE ON FUNCTION pgs_pooler.lookup(text) TO pgs_pooler;