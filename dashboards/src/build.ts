// Writes the dashboards as Grafana imports them, into the folder that is given.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dependencies } from './dependencies';
import { ingest } from './ingest';
import { integrity } from './integrity';
import { overview } from './overview';
import { storage } from './storage';

const folder = process.argv[2];
if (!folder) throw new Error('into which folder?');
for (const board of [overview, ingest, storage, integrity, dependencies]) {
  writeFileSync(join(folder, `${board.uid}.json`), `${JSON.stringify(board, null, 2)}\n`);
}
