#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const built = fileURLToPath(new URL('../dist/src/cli/main.js', import.meta.url));
if (!existsSync(built)) {
  process.stderr.write('error: pgs is not built yet\n  next:  run `npm ci && npm run build` in the checkout\n');
  process.exit(1);
}
const { main } = await import(built);
const code = await main(process.argv);
// Exit when what was printed has left, even if a connection is still open.
process.stdout.write('', () => process.exit(code));
