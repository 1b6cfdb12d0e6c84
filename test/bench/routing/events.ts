// What befalls a leader, and how it is made good afterwards. Each is the same for all systems.

import type { Fleet } from '../fleet.js';
import type { System } from './system.js';

export const eventNames = ['switchover', 'kill', 'power', 'cut'] as const;
export type EventName = (typeof eventNames)[number];

export interface Event {
  title: string;
  /** It takes the host with it, so it befalls all systems at once, whose leaders are brought together on one host before. */
  takesHost: boolean;
  /** @param system - one of those that it befalls. */
  perform(fleet: Fleet, system: System, leader: string): Promise<void>;
  /** While clients still write, once writes go on. */
  heal?(fleet: Fleet, leader: string): Promise<void>;
  /** After the clients have stopped. */
  repair?(fleet: Fleet, leader: string): Promise<void>;
}

/** Whatever becomes of the benchmark, a host that is cut off comes back by itself. */
const cutLimitS = 180;

export const events: Record<EventName, Event> = {
  switchover: {
    title: 'planned switchover',
    takesHost: false,
    perform: (_fleet, system) => system.switchover(),
  },
  kill: {
    title: '`kill -9` of the postmaster',
    takesHost: false,
    perform: async (fleet, system, leader) =>
      void (await fleet.on(leader, `kill -9 "$(head -1 ${system.dataDirectory}/postmaster.pid)"`)),
  },
  power: {
    title: "power-off of the leader's host",
    takesHost: true,
    perform: async (fleet, _system, leader) => void (await fleet.pgs(['sandbox', 'power', leader, 'off'])),
    repair: async (fleet, leader) => void (await fleet.pgs(['sandbox', 'power', leader, 'on'])),
  },
  cut: {
    title: 'leader cut off from its peers',
    takesHost: true,
    perform: async (fleet, _system, leader) => {
      const peers = Object.entries(fleet.addresses).flatMap(([host, address]) => (host === leader ? [] : [address]));
      const set = `{ ${peers.join(', ')} }`;
      const rules = `table inet bench_cut {
        chain in { type filter hook input priority -10; ip saddr ${set} drop; }
        chain out { type filter hook output priority -10; ip daddr ${set} drop; }
      }`;
      const undo = `systemd-run -q --unit bench-cut-undo-$(date +%s%N) --on-active=${cutLimitS} nft delete table inet bench_cut`;
      await fleet.on(leader, `${undo} && nft -f - <<'END'\n${rules}\nEND`);
    },
    heal: async (fleet, leader) => void (await fleet.on(leader, 'nft delete table inet bench_cut')),
  },
};
