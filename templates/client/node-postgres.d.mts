import type { Client, ClientConfig } from 'pg';

export function rotateHosts(hosts: string[], config: ClientConfig): () => Promise<Client>;
