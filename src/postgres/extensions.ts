// Which extensions a host's packages bring. PostgreSQL looks for the same files, on the host of whoever leads: so all members' hosts need them.

import type { Command } from '../host/command.js';
import { extensionsOf, isPresent, type ObjectSpecs } from '../topology/objects.js';

/** Names by host; null for one that does not answer. */
export type ExtensionFacts = Record<string, string[] | null>;

/** Debian's and PGDG's place, of which `pg_available_extensions` is the list. */
export function listExtensions(postgresMajor: number): Command {
  const directory = `/usr/share/postgresql/${postgresMajor}/extension`;
  return { argv: ['find', directory, '-maxdepth', '1', '-name', '*.control', '-printf', '%f\\n'], timeoutMs: 10_000 };
}

export function parseExtensions(printed: string): string[] {
  return printed
    .split('\n')
    .filter((line) => line.endsWith('.control'))
    .map((line) => line.slice(0, -'.control'.length))
    .sort();
}

export interface WantedExtension {
  database: string;
  name: string;
  /** Its place in the file. */
  path: (string | number)[];
}

export function wantedExtensions({ databases = {} }: ObjectSpecs): WantedExtension[] {
  return Object.entries(databases).flatMap(([database, spec]) =>
    isPresent(spec)
      ? extensionsOf(spec).flatMap((extension, index) =>
          isPresent(extension)
            ? [{ database, name: extension.name, path: ['databases', database, 'extensions', index] }]
            : [],
        )
      : [],
  );
}

export interface MissingExtension extends WantedExtension {
  hosts: string[];
  /** Null: it is in no package that pgs knows. */
  package: string | null;
}

/** Of what is wanted, what a host is known not to have. */
export function missingExtensions(wanted: WantedExtension[], found: ExtensionFacts, major: number): MissingExtension[] {
  return wanted.flatMap((extension) => {
    const hosts = Object.keys(found)
      .filter((host) => found[host]?.includes(extension.name) === false)
      .sort();
    return hosts.length > 0 ? [{ ...extension, hosts, package: packageOf(extension.name, major) }] : [];
  });
}

/** In words: which host, which package. */
export function describeMissing({ name, hosts, package: named }: MissingExtension, major: number): string {
  const where =
    named === null
      ? `no package that pgs knows brings it (\`apt-cache search postgresql-${major}\` on the host)`
      : `install ${named} there`;
  return `extension ${name} is not on ${hosts.join(', ')}: ${where}`;
}

/** Packages of Debian and PGDG by what their extension is called; `%` is the major version. */
const packages: Record<string, string> = {
  vector: 'postgresql-%-pgvector',
  postgis: 'postgresql-%-postgis-3',
  postgis_raster: 'postgresql-%-postgis-3',
  postgis_topology: 'postgresql-%-postgis-3',
  postgis_sfcgal: 'postgresql-%-postgis-3',
  postgis_tiger_geocoder: 'postgresql-%-postgis-3',
  address_standardizer: 'postgresql-%-postgis-3',
  pgrouting: 'postgresql-%-pgrouting',
  pg_cron: 'postgresql-%-cron',
  pg_partman: 'postgresql-%-partman',
  pg_repack: 'postgresql-%-repack',
  pg_squeeze: 'postgresql-%-squeeze',
  pgaudit: 'postgresql-%-pgaudit',
  pgtap: 'postgresql-%-pgtap',
  pglogical: 'postgresql-%-pglogical',
  hypopg: 'postgresql-%-hypopg',
  hll: 'postgresql-%-hll',
  ip4r: 'postgresql-%-ip4r',
  orafce: 'postgresql-%-orafce',
  periods: 'postgresql-%-periods',
  rum: 'postgresql-%-rum',
  semver: 'postgresql-%-semver',
  unit: 'postgresql-%-unit',
  wal2json: 'postgresql-%-wal2json',
  timescaledb: 'postgresql-%-timescaledb',
  pg_qualstats: 'postgresql-%-pg-qualstats',
  pg_stat_kcache: 'postgresql-%-pg-stat-kcache',
  pg_wait_sampling: 'postgresql-%-pg-wait-sampling',
  pgl_ddl_deploy: 'postgresql-%-pgl-ddl-deploy',
  plpython3u: 'postgresql-plpython3-%',
  plperl: 'postgresql-plperl-%',
  plperlu: 'postgresql-plperl-%',
  pltcl: 'postgresql-pltcl-%',
  mysql_fdw: 'postgresql-%-mysql-fdw',
  tds_fdw: 'postgresql-%-tds-fdw',
  ogr_fdw: 'postgresql-%-ogr-fdw',
  age: 'postgresql-%-age',
};

function packageOf(name: string, major: number): string | null {
  return packages[name]?.replace('%', String(major)) ?? null;
}
