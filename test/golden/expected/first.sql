\set ON_ERROR_STOP on
SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';
SELECT 'CREATE ROLE app LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') \gexec
ALTER ROLE app LOGIN PASSWORD 'SCRAM-SHA-256$4096:fake-app';
SELECT 'CREATE ROLE pgs_probe LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'pgs_probe') \gexec
ALTER ROLE pgs_probe LOGIN PASSWORD 'SCRAM-SHA-256$4096:fake-probe';
SELECT 'CREATE DATABASE app OWNER app' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'app') \gexec
REVOKE ALL ON DATABASE app FROM PUBLIC;
CREATE SCHEMA IF NOT EXISTS pgs AUTHORIZATION pgs_probe;
CREATE TABLE IF NOT EXISTS pgs.proof (id uuid PRIMARY KEY, entry text NOT NULL, at timestamptz NOT NULL DEFAULT now());
ALTER TABLE pgs.proof OWNER TO pgs_probe;