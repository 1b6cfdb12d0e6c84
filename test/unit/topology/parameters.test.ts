import { expect, test } from 'vitest';
import { misfitOf } from '../../../src/topology/parameters.js';
import { deriveSettings } from '../../../src/topology/settings.js';
import { recordOf } from '../../fixtures/fleet.js';

test.each([
  ['work_mem', 'banana', /whole number.*not "banana"/],
  ['work_mem', '10GBs', /no unit GBs/],
  ['work_mem', '1kB', /is from 64/],
  ['work_mem', '', /takes a whole number/],
  ['max_connections', '10MB', /has no unit/],
  ['max_connections', 0, /is from 1/],
  ['statement_timeout', '5 minutes', /no unit minutes/],
  ['checkpoint_timeout', '10MB', /no unit MB/],
  ['jit', 'maybe', /on or off/],
  ['wal_level', 'logicall', /one of minimal, replica, logical/],
  ['random_page_cost', 'cheap', /takes a number/],
])('%s cannot be %j', (name, value, why) => {
  expect(misfitOf(name, value)).toMatch(why);
});

test.each([
  ['work_mem', '32MB'],
  ['work_mem', '0.5GB'],
  ['work_mem', 65536],
  ['shared_buffers', '1 GB'],
  ['statement_timeout', '1min'],
  ['wal_retrieve_retry_interval', '500ms'],
  ['jit', 'off'],
  ['jit', false],
  ['synchronous_commit', 'yes'],
  ['synchronous_commit', 'remote_apply'],
  ['random_page_cost', '1.1'],
  ['search_path', 'a, "b c"'],
  ['log_line_prefix', '%m [%p] '],
  ['my_extension.level', 'whatever'],
  ['parameter_of_another_major', 'whatever'],
])('%s can be %j', (name, value) => {
  expect(misfitOf(name, value)).toBeNull();
});

test('all that pgs derives fits', () => {
  const derived = deriveSettings(recordOf().allocation, 'norm');
  expect(Object.entries(derived).flatMap(([name, value]) => misfitOf(name, value) ?? [])).toEqual([]);
});
