/** Moves the state of machines through QEMU's migration: devices to and from a file, memory to another QEMU. */
import { chownSync, createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { jail } from './machine.ts';
import type { Qmp } from './qmp.ts';

/** The same socket as `jail.state`, from outside. QEMU 7.2 takes no file here without starting a program. */
function stateSocket(directory: string): string {
  return join(directory, 'state-socket');
}

/** `ignore`: memory that lies in a shared file is left where it is, so that the state holds devices only. */
export async function setUp(qmp: Qmp, sharedMemory: 'ignore' | 'send'): Promise<void> {
  const capabilities = [
    { capability: 'x-ignore-shared', state: sharedMemory === 'ignore' },
    { capability: 'events', state: true },
  ];
  await qmp.command('migrate-set-capabilities', { capabilities });
}

/** Resolves when what `begin` started has ended well. */
export async function untilMigrated(qmp: Qmp, begin: () => Promise<unknown>): Promise<void> {
  const end = qmp.event(
    ({ name, data }) => name === 'MIGRATION' && (data.status === 'completed' || data.status === 'failed'),
    120_000,
  );
  const [{ data }] = await Promise.all([end, begin()]);
  if (data.status !== 'completed') throw new Error('QEMU could not move the machine’s state');
}

/** Writes the devices of a machine that stands still into a file. The bytes pass through, unread. */
export async function saveDevices(qmp: Qmp, directory: string, uid: number, file: string): Promise<void> {
  await setUp(qmp, 'ignore');
  const path = stateSocket(directory);
  await rm(path, { force: true });
  const server = createServer().listen(path);
  try {
    await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
    chownSync(path, uid, uid);
    const written = new Promise<Socket>((resolve) => server.once('connection', resolve)).then((socket) =>
      pipeline(socket, createWriteStream(file, { flags: 'wx', mode: 0o600 })),
    );
    await Promise.all([
      untilMigrated(qmp, () => qmp.command('migrate', { uri: `unix:${jail.state}` })),
      written,
    ]);
  } finally {
    server.close();
  }
}

/** Resolves when the machine listens on its socket for its devices' state. */
export async function listenForState(qmp: Qmp): Promise<void> {
  await Promise.all([setUp(qmp, 'ignore'), qmp.command('migrate-incoming', { uri: `unix:${jail.state}` })]);
}

/** Sends a listening machine its devices' state, and has it go on from there: the source stood still when it was written. */
export async function loadAndRun(qmp: Qmp, directory: string, file: string): Promise<void> {
  await untilMigrated(qmp, async () => {
    const socket = connect({ path: stateSocket(directory) });
    socket.resume(); // nothing comes back but the end
    // QEMU hangs up as soon as it has read the end; whether that was all is what its event tells.
    await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), socket).catch(() => {});
  });
  await qmp.command('cont');
}
