#!/usr/bin/env node
/** Starts the CLI under Node 24 or newer; the machine's own may be older, then npm's `node` package has one. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));

function newerNode() {
  for (let at = folder; at !== dirname(at); at = dirname(at)) {
    const candidate = join(at, 'node_modules/.bin/node');
    if (existsSync(candidate)) return candidate;
  }
  return undefined;
}

if (Number(process.versions.node.split('.')[0]) >= 24) {
  const { main } = await import('./program.ts');
  await main(process.argv);
} else {
  const node = newerNode();
  if (node === undefined) {
    console.error(`casemate needs Node 24 or newer, this is ${process.version}: run \`npm ci\` first.`);
    process.exit(125);
  }
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // Ctrl-C reaches the child by itself; this process only has to outlive it.
    process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
  }
  child.on('exit', (status, signal) =>
    process.exit(status ?? (signal === null ? 125 : 128 + constants.signals[signal])),
  );
}
