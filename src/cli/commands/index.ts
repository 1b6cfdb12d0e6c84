import type { Command } from 'commander';
import { hostCommand } from './host.js';
import { initCommand } from './init.js';
import { sandboxCommand } from './sandbox.js';

/** Every top-level command, in the order of `pgs --help`. */
export const commands: (() => Command)[] = [initCommand, hostCommand, sandboxCommand];
