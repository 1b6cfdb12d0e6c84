// A value that must not be seen. It redacts itself wherever it is printed, logged, inspected or serialised; the one
// way to the text is `reveal()`, which only code at the edge (writing a 0600 file, a login, stdin) may call.

import { inspect } from 'node:util';

const redacted = '[secret]';

export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [inspect.custom](): string {
    return redacted;
  }
}

/** The text of a value that may be secret. */
export function reveal(value: string | Secret): string {
  return value instanceof Secret ? value.reveal() : value;
}
