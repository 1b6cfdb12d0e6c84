// From a tenant's roles and databases and what the catalogues say to the statements between. Pure: the same input gives the same
// changes, and facts that match give none.

import { allDatabases, appName, isPresent, logsIn, passwordOf, type ObjectSpecs } from '../topology/objects.js';
import { databaseChange } from './desired-databases.js';
import { rolesChange } from './desired-roles.js';
import { droppedDatabases, droppedRoles } from './dropped-objects.js';
import type { DesiredObjects, ObjectChange } from './object-change.js';
import { newDatabase, type ObjectFacts, type RoleFact } from './object-facts.js';

export function objectChanges(wanted: DesiredObjects, found: ObjectFacts): ObjectChange[] {
  const { spec } = wanted;
  const databases = Object.entries(allDatabases(spec)).filter(([, database]) => isPresent(database));
  return [
    ...rolesChange(wanted, found),
    ...databases.flatMap(([name, database]) => databaseChange(name, database, wanted, found)),
    ...droppedDatabases(wanted, found),
    ...droppedRoles(wanted, found),
  ];
}

/** What a cluster is that has just been made: `app` and its database. */
export function firstObjects(): ObjectFacts {
  const plain = { createdb: false, createrole: false, replication: false, bypassrls: false, superuser: false };
  const app: RoleFact = {
    ...plain,
    login: true,
    inherit: true,
    connections: -1,
    expires: null,
    verifier: '',
    groups: [],
    settings: [],
  };
  return {
    roles: { [appName]: app },
    databases: { [appName]: { owner: appName, connections: -1, mayConnect: true, grants: [`${appName} CONNECT`] } },
    inside: { [appName]: newDatabase },
  };
}

/** Roles that log in by a password which pgs makes. */
export function generatedRoles({ roles = {} }: ObjectSpecs): string[] {
  return Object.entries(roles)
    .filter(([name, role]) => name !== appName && isPresent(role) && logsIn(role) && passwordOf(role) === 'generated')
    .map(([name]) => name);
}
