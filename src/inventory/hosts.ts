// Hosts that come and go, as changes of pgs.yaml. Comments and everything else stay as they were typed (edit.ts).

import { isMap, isSeq, type Document } from 'yaml';
import type { Host } from './inventory.js';

/** One change of the list of hosts or of etcd's members. */
export type HostChange =
  | { kind: 'add'; host: Pick<Host, 'name' | 'address'> & { zone?: string; fencing?: 'device' } }
  | { kind: 'remove'; host: string }
  /** The whole list: without one in the file, the first three hosts are meant, and another host could become one by a mere edit. */
  | { kind: 'etcd-members'; members: string[] };

/** Does the change to the document; what is so already stays as it is. */
export function changeHosts(document: Document, change: HostChange): void {
  switch (change.kind) {
    case 'add': {
      const { name, ...host } = change.host;
      if (document.hasIn(['hosts', name])) return;
      const node = document.createNode(host);
      node.flow = isFlow(document);
      document.setIn(['hosts', name], node);
      return;
    }
    case 'remove':
      document.deleteIn(['hosts', change.host]);
      return;
    case 'etcd-members': {
      const list = document.getIn(['etcd', 'members']);
      if (isSeq(list) && JSON.stringify(list.toJSON()) === JSON.stringify(change.members)) return;
      const node = document.createNode(change.members);
      node.flow = true;
      document.setIn(['etcd', 'members'], node);
    }
  }
}

/** Written like the hosts that are there. */
function isFlow(document: Document): boolean {
  const hosts = document.get('hosts');
  const first: unknown = isMap(hosts) ? hosts.items[0]?.value : null;
  return isMap(first) ? first.flow === true : true;
}
