/** A real PostgreSQL of Debian's in the world of the egress tests. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { generateKeys, makeAuthority, openAuthority, pemOf } from '../../../src/base/certificates.ts';
import { runCommand } from '../../../src/base/child.ts';
import type { World } from './outside.ts';

/** It does not run as root. */
const nobody = 65_534;
const asNobody = ['setpriv', `--reuid=${nobody}`, `--regid=${nobody}`, '--clear-groups'];
export const postgresPort = 5433;

/** Listens on an address of the world, speaks TLS to whoever asks for it, and lets everybody in. @returns what ends it. */
export async function startPostgres(world: World, programs: string): Promise<() => Promise<void>> {
  const folder = join(world.directory, 'postgres');
  mkdirSync(folder);
  chownSync(folder, nobody, nobody);
  const data = join(folder, 'data');
  const init = ['--username=postgres', '--auth=trust', '--no-sync', '--encoding=UTF8', '--locale=C'];
  await runCommand([...asNobody, join(programs, 'initdb'), '-D', data, ...init], { timeoutMs: 120_000 });
  await appendFile(join(data, 'pg_hba.conf'), 'host all all 0.0.0.0/0 trust\n');
  for (const [name, text] of Object.entries(await certified('pg.world.test'))) {
    writeFileSync(join(data, name), text, { mode: 0o600 });
    chownSync(join(data, name), nobody, nobody);
  }
  const settings = {
    listen_addresses: '5.5.1.1',
    port: postgresPort,
    ssl: 'on',
    fsync: 'off',
    unix_socket_directories: '',
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const inWorld = ['netns', 'exec', world.world, ...asNobody];
  const child = spawn('ip', [...inWorld, join(programs, 'postgres'), '-D', data, ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines = createInterface({ input: child.stderr });
  for (;;) {
    const [line] = (await once(lines, 'line')) as [string];
    if (line.includes('ready to accept connections')) break;
  }
  child.stderr.resume();
  return async () => {
    const gone = once(child, 'exit');
    child.kill('SIGQUIT'); // at once, its own processes with it
    await gone;
  };
}

async function certified(host: string): Promise<Record<'server.crt' | 'server.key', string>> {
  const validMs = 86_400_000;
  const issuer = await openAuthority(await makeAuthority('CN=postgres of the tests', validMs));
  const { publicKey, privateKey } = await generateKeys();
  const leaf = await issuer.issue({ names: [host], subject: `CN=${host}`, publicKey, validMs });
  return { 'server.crt': leaf, 'server.key': pemOf(privateKey) };
}
