// How a member's Patroni drives its watchdog: decided by the watchdog module, rendered by Patroni's.

export interface PatroniWatchdog {
  /** Patroni's `watchdog` section. */
  config: Record<string, string | number>;
  /** Units that start before. */
  after: string[];
  /** Commands that run as root before Patroni starts. */
  before: string[];
  /** Directories that Patroni has to see. */
  binds: string[];
  /** Patroni opens a device node. */
  devices: boolean;
}
