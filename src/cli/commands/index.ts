import type { Command } from 'commander';
import { sandboxCommand } from './sandbox.js';

/** Every top-level command, in the order of `pgs --help`. */
export const commands: (() => Command)[] = [sandboxCommand];
