import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderTemplate, templatesDir } from '../../../src/host/template.js';
import { Secret } from '../../../src/secrets/secret.js';

const directory = join(templatesDir(), `.test-${process.pid}`);
const write = (name: string, text: string): string => {
  writeFileSync(join(directory, name), text);
  return `.test-${process.pid}/${name}`;
};

beforeAll(() => mkdirSync(directory, { recursive: true }));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

describe('renderTemplate', () => {
  it('finds templates/ of the checkout', () => {
    expect(existsSync(join(templatesDir(), 'etcd'))).toBe(true);
  });

  it('keeps the newline after a value at the end of a line, and escapes nothing', () => {
    const name = write('a.eta', 'User=<%= it.user %>\nExecStart=<%= it.exec %>\n');
    expect(renderTemplate(name, { user: 'a', exec: `b 'c' & "d"` })).toBe(`User=a\nExecStart=b 'c' & "d"\n`);
  });

  it.each([
    ['a missing value', '<%= it.mising %>', {}],
    ['an undefined value', '<%= it.user %>', { user: undefined }],
    ['null', '<%= it.user %>', { user: null }],
    ['a missing member of an object', '<%= it.user.name %>', { user: {} }],
    ['a misspelt name in a condition', '<% if (it.mising) { %>x<% } %>', {}],
    ['a secret', '<%= it.password %>', { password: new Secret('hunter2') }],
    ['an object', '<%= it.user %>', { user: {} }],
    [
      'a missing member in a list',
      '<% for (const m of it.members) { %><%= m.nmae %><% } %>',
      { members: [{ name: 'a' }] },
    ],
    ['a misspelt member in a condition', '<% if (it.a.b) { %>x<% } %>', { a: {} }],
  ])('refuses %s', (_, text, data) => {
    const name = write(`${Math.abs(hash(text + JSON.stringify(data)))}.eta`, text);
    expect(() => renderTemplate(name, data)).toThrow(/rendering templates/);
  });

  it('walks lists', () => {
    const name = write('list.eta', '<% for (const m of it.members) { -%>\n<%= m.name %>\n<% } -%>\n');
    expect(renderTemplate(name, { members: [{ name: 'a' }, { name: 'b' }] })).toBe('a\nb\n');
  });

  it('does not put a secret into the error', () => {
    const name = write('secret.eta', '<%= it.password %>');
    expect(() => renderTemplate(name, { password: new Secret('hunter2') })).toThrow(/^(?!.*hunter2)/);
  });
});

function hash(text: string): number {
  return [...text].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) | 0, 7);
}
