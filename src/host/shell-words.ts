// Argument lists as text that a POSIX shell reads back as the very same words.

const plain = /^[A-Za-z0-9_@%+=:,./^-]+$/;

/** Plain words and single quotes, nothing else: that is all that `templates/daemon/gate.py`, which reads it back, has to know. */
export function shellLine(words: string[]): string {
  return words.map((word) => (plain.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}
