/** Moves the state of machines through QEMU's migration, and what their disks hold from layer to layer. Part of the process without rights (controlProcess.ts). */
import { constants, createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { controlFile, stateBytesMax } from './controlWire.ts';
import { ignoringShared, jail } from './machine.ts';
import type { Qmp } from './qmp.ts';

const migrationMsMax = 120_000;
const flattenMsMax = 180_000;
const goOnTries = 200;
const goOnRetryMs = 5;

/** The guest's first program opened its end of the agent's port: QEMU itself says so, not the guest. */
export function isPortOpen(event: { name: string; data: Readonly<Record<string, unknown>> }): boolean {
  return event.name === 'VSERPORT_CHANGE' && event.data.open === true;
}

/** Resolves when what `begin` started has ended well. */
export async function untilMigrated(qmp: Qmp, begin: () => Promise<unknown>): Promise<void> {
  const end = qmp.event(
    ({ name, data }) => name === 'MIGRATION' && (data.status === 'completed' || data.status === 'failed'),
    migrationMsMax,
  );
  const [{ data }] = await Promise.all([end, begin()]);
  if (data.status !== 'completed') throw new Error('QEMU could not move the machine’s state');
}

/** Copies while the machine runs. */
export async function flatten(
  qmp: Qmp,
  { node, base }: { readonly node: string; readonly base: string },
): Promise<void> {
  const end = qmp.event(({ name }) => name === 'BLOCK_JOB_COMPLETED', flattenMsMax);
  const job = { 'job-id': 'flatten', device: node, 'base-node': base };
  const [{ data }] = await Promise.all([end, qmp.command('block-stream', job)]);
  if (data.error !== undefined) throw new Error('QEMU could not take over what lower layers hold');
}

/**
 * Writes the devices of a machine that stands still into a file. QEMU 7.2 takes no file here without starting a program,
 * but sockets. It reaches into the folder as well: no name in there is trusted.
 */
export async function save(qmp: Qmp, folder: string): Promise<void> {
  await qmp.command('migrate-set-capabilities', ignoringShared(true));
  const path = join(folder, controlFile.saving);
  await rm(path, { force: true });
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const file = await open(join(folder, controlFile.state), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  const server = createServer().listen(path);
  try {
    await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
    const written = new Promise<Socket>((resolve) => server.once('connection', resolve)).then((socket) =>
      pipeline(socket, atMost(stateBytesMax), file.createWriteStream()),
    );
    await Promise.all([
      untilMigrated(qmp, () => qmp.command('migrate', { uri: `unix:${jail.control(controlFile.saving)}` })),
      written,
    ]);
  } finally {
    server.close();
    await file.close().catch(() => {}); // its stream has closed it
  }
}

function atMost(bytesMax: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length;
      if (bytes > bytesMax) done(new Error('a machine’s state is larger than any'));
      else done(null, chunk);
    },
  });
}

/** Sends a listening machine its devices' state. */
export async function load(qmp: Qmp, folder: string): Promise<void> {
  await untilMigrated(qmp, async () => {
    const socket = connect({ path: join(folder, controlFile.loading) });
    socket.resume(); // nothing comes back but the end
    // QEMU hangs up as soon as it has read the end; whether that was all is what its event tells.
    const file = join(folder, controlFile.state);
    await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), socket).catch(() => {});
  });
}

/** QEMU says that a migration has completed a moment before it lets the machine run again, and refuses meanwhile. */
export async function run(qmp: Qmp): Promise<void> {
  for (let round = 1; ; round += 1) {
    try {
      await qmp.command('cont');
      return;
    } catch (error) {
      if (round >= goOnTries || !String(error).includes('not finalized')) throw error;
      await sleep(goOnRetryMs);
    }
  }
}
