import type { Command } from 'commander';

/** Every top-level command, in the order of `pgs --help`. */
export const commands: (() => Command)[] = [];
