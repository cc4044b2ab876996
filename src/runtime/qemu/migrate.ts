/** Moves the state of machines through QEMU's migration: devices to a file, memory to another QEMU. */
import { stateDescriptor } from './machine.ts';
import type { Qmp } from './qmp.ts';

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

/** Writes the devices of a machine that stands still into the file that it was launched with. */
export async function saveDevices(qmp: Qmp): Promise<void> {
  await setUp(qmp, 'ignore');
  await untilMigrated(qmp, () => qmp.command('migrate', { uri: `fd:${stateDescriptor}` }));
}

/** Takes over devices, and goes on from there at once. */
export async function loadAndRun(qmp: Qmp): Promise<void> {
  const running = qmp.event(({ name }) => name === 'RESUME');
  await Promise.all([
    setUp(qmp, 'ignore'),
    qmp.command('migrate-incoming', { uri: `fd:${stateDescriptor}` }),
    running,
  ]);
}
