import { expect, test } from 'vitest';
import { rememberedFor } from '../../src/remembered.js';

test('what was made is made once for each value, and for no other that looks like it', () => {
  const asked: string[] = [];
  const nameOf = rememberedFor(({ name }: { name: string }) => {
    asked.push(name);
    return [name];
  });
  const [one, alike] = [{ name: 'h1' }, { name: 'h1' }];
  expect(nameOf(one)).toBe(nameOf(one));
  expect(nameOf(alike)).not.toBe(nameOf(one));
  expect(asked).toEqual(['h1', 'h1']);
});

test('what could not be made is tried again', () => {
  let works = false;
  const made = rememberedFor(() => {
    if (works) return 'made';
    throw new Error('not yet');
  });
  const of = {};
  expect(() => made(of)).toThrow('not yet');
  works = true;
  expect(made(of)).toBe('made');
});
