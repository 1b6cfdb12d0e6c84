import { expect, test } from 'vitest';
import { changesAtStart, misfitOf, sameValue } from '../../../src/topology/parameters.js';
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

test.each([
  ['work_mem', '32MB', '32768', true],
  ['work_mem', '32MB', '32767', false],
  ['shared_buffers', '1GB', '131072', true],
  ['checkpoint_timeout', '5min', '300', true],
  ['random_page_cost', 1.1, '1.1', true],
  ['jit', 'yes', 'on', true],
  ['jit', 'no', 'on', false],
  ['wal_level', 'REPLICA', 'replica', true],
  ['wal_level', 'logical', 'replica', false],
  ['log_line_prefix', '%m ', '%m', true],
  ['search_path', 'a', 'A', false],
  ['my_extension.level', '3', '3', true],
])('%s %j and %j: the same is %s', (name, a, b, same) => {
  expect(sameValue(name, a, b)).toBe(same);
});

test('what takes effect at a start only is known for PostgreSQL’s own parameters', () => {
  expect(['max_connections', 'shared_buffers', 'wal_level'].map(changesAtStart)).toEqual([true, true, true]);
  expect(['work_mem', 'wal_sender_timeout'].map(changesAtStart)).toEqual([false, false]);
  expect(changesAtStart('my_extension.level')).toBeNull();
});
