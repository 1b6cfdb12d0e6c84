// Writes a row every 200 ms with the snippet that `pgs cluster url --form node` prints, each over a connection of its own, and says
// what came of each: node writer.mjs WHO, the JSON of the form on standard input with the password and the CA put in.

import { setTimeout as sleep } from 'node:timers/promises';
import { text } from 'node:stream/consumers';
import { rotateHosts } from '../../../templates/client/node-postgres.mjs';

const { hosts, config } = JSON.parse(await text(process.stdin));
const connect = rotateHosts(hosts, config);
for (;;) {
  try {
    const client = await connect();
    await client.query('INSERT INTO written (who) VALUES ($1)', [process.argv[2]]);
    await client.end();
    process.stdout.write('ok\n');
  } catch (error) {
    process.stdout.write(`error ${error.code} ${error.message}\n`);
  }
  await sleep(200);
}
