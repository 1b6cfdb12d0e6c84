import type { Command } from 'commander';
import { accessCommand } from './access.js';
import { applyCommand, failoverCommand, planCommand, switchoverCommand, useCommand } from './change.js';
import { chaosCommand } from './chaos.js';
import { clusterCommand } from './cluster.js';
import { daemonCommand } from './daemon.js';
import { dcsCommand } from './dcs.js';
import { doctorCommand } from './doctor.js';
import { drillCommand } from './drill.js';
import { fleetCommand } from './fleet.js';
import { hostCommand } from './host.js';
import { initCommand } from './init.js';
import { sandboxCommand } from './sandbox.js';
import { certCommand, rotateCommand } from './secrets.js';
import { stateCommand } from './state.js';
import { updateCommand } from './update.js';
import { userCommand } from './user.js';
import { watchdogCommand } from './watchdog.js';

/** Every top-level command, in the order of `pgs --help`. */
export const commands: (() => Command)[] = [
  initCommand,
  hostCommand,
  fleetCommand,
  dcsCommand,
  clusterCommand,
  switchoverCommand,
  failoverCommand,
  accessCommand,
  watchdogCommand,
  chaosCommand,
  drillCommand,
  daemonCommand,
  certCommand,
  rotateCommand,
  userCommand,
  stateCommand,
  doctorCommand,
  updateCommand,
  planCommand,
  applyCommand,
  useCommand,
  sandboxCommand,
];
