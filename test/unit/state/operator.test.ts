// Who runs pgs, also where the system knows no such user.

import { expect, test } from 'vitest';
import { operatorName } from '../../../src/state/operator.js';

const unknown = () => {
  throw new Error('uv_os_get_passwd returned ENOENT');
};

test('who called sudo, else the user, else what systemd says of a service', () => {
  expect(operatorName({ SUDO_USER: 'ada' }, () => 'root')).toBe('ada');
  expect(operatorName({}, () => 'root')).toBe('root');
  expect(operatorName({ USER: 'pgs-daemon-lab' }, unknown)).toBe('pgs-daemon-lab');
  expect(operatorName({}, unknown)).toMatch(/^user \d+$/);
});
