// Who runs pgs, for records that others read.

import { userInfo } from 'node:os';

/** Who called sudo, if it was used. A service's user of its own may be known to systemd alone, which says it in the environment. */
export function operatorName(env: NodeJS.ProcessEnv = process.env, known = () => userInfo().username): string {
  if (env.SUDO_USER) return env.SUDO_USER;
  try {
    return known();
  } catch {
    return env.USER || `user ${process.getuid?.() ?? 'unknown'}`;
  }
}
