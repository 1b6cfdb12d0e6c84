// What `pgs rotate` can be asked for.

export const rotateWords = ['all', 'superuser', 'replication', 'rest', 'etcd', 'pooler', 'probe', 'app', 'ca'] as const;
export type RotateWord = (typeof rotateWords)[number];
