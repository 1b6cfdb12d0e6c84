-- What `pgs doctor` asks each member's own PostgreSQL; one JSON object (src/doctor/host-facts.ts).
SELECT json_build_object(
  'inRecovery', pg_is_in_recovery(),
  'slots', (
    SELECT coalesce(json_agg(json_build_object(
      'name', slot_name, 'type', slot_type, 'active', active, 'walStatus', wal_status, 'restartLsn', restart_lsn::text,
      'heldBytes', greatest(0, coalesce(pg_wal_lsn_diff(
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn), 0))
    )), '[]') FROM pg_replication_slots WHERE NOT temporary),
  'archiver', (
    SELECT json_build_object('mode', current_setting('archive_mode'), 'failedCount', failed_count, 'lastFailedWal', last_failed_wal,
      'lastFailedAt', last_failed_time, 'lastArchivedAt', last_archived_time,
      'failing', coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false))
    FROM pg_stat_archiver),
  'databases', (
    SELECT json_agg(json_build_object('name', datname, 'xidAge', age(datfrozenxid), 'multixactAge', mxid_age(datminmxid))) FROM pg_database),
  'transactions', (
    SELECT coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'database', datname, 'application', application_name,
      'state', state, 'ageS', floor(extract(epoch FROM now() - xact_start))) ORDER BY xact_start), '[]')
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start < now() - interval '10 min'),
  'prepared', (
    SELECT coalesce(json_agg(json_build_object('gid', gid, 'database', database, 'ageS', floor(extract(epoch FROM now() - prepared)))), '[]')
    FROM pg_prepared_xacts WHERE prepared < now() - interval '10 min'),
  'checksumFailures', (SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database),
  'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  'connectionsMax', current_setting('max_connections')::int
);
