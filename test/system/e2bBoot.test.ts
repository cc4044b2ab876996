/** A pause that keeps files alone, by E2B's SDK and ours: a virtual machine boots another kernel on them. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from 'e2b';
import { CasemateError, Sandbox as NativeSandbox } from '../../sdk/typescript/src/index.ts';
import { missingForServer, startServer, stopProcess } from './server.ts';

const touchedBytes = 32 * 1024 * 1024;
const look = [
  'cat /proc/sys/kernel/random/boot_id /etc/machine-id; hostname; echo "$WORD $(pwd)"',
  'ls /dev/shm; pgrep -x sleep; cat /proc/uptime',
].join('; ');

it('boots another kernel after a pause without memory', {
  skip: missingForServer() ?? false,
}, async (test) => {
  let server = await startServer();
  try {
    const { url, apiKey, dataDir } = server;
    const connection = {
      ...{ apiUrl: url, sandboxUrl: url, apiKey: apiKey.replace('casemate_', 'e2b_') },
      ...{ timeoutMs: 3_600_000, requestTimeoutMs: 300_000 }, // an emulated kernel takes its time
    };
    const wanted = {
      ...{ runtime: 'qemu', env: { WORD: 'bound' }, hostname: 'named', timeoutMs: 3_600_000 },
      volumes: [{ volume: 'data', path: '/data' }],
    };
    await server.client.volumes.create({ name: 'data', quotaMib: 32 });
    const native = await NativeSandbox.create({ url, apiKey, ...wanted }).catch((error: unknown) => {
      if (error instanceof CasemateError && error.code === 'runtime_unavailable') return undefined;
      throw error;
    });
    if (native === undefined) return test.skip('no virtual machine starts here');
    const sandbox = await Sandbox.connect(native.id, connection);
    const pausedBytes = async (): Promise<number> => {
      const { entries } = await server.client.disk.report();
      return entries.filter(({ kind }) => kind === 'snapshot').reduce((sum, { bytes }) => sum + bytes, 0);
    };
    const seen = async () => {
      const { stdout } = await sandbox.commands.run(look);
      const [bootId, machineId, hostname, bound, ...rest] = stdout.trim().split('\n');
      const uptimeSeconds = Number(rest.pop()?.split(' ')[0]);
      return { bootId, machineId, hostname, bound, rest, uptimeSeconds };
    };

    await sandbox.files.write('kept', 'words');
    await sandbox.files.write('/data/kept', 'words of a volume');
    await sandbox.commands.run(`head -c ${touchedBytes} /dev/urandom > /dev/shm/touched`);
    await sandbox.commands.run('sleep 10000', { background: true, timeoutMs: 0 });
    const first = await seen();
    assert.equal(first.rest.length, 2, 'a file in memory and a program');

    await sandbox.pause({ keepMemory: true });
    const withMemory = await pausedBytes();
    await sandbox.connect(connection);
    const second = await seen();
    assert.deepEqual({ ...second, uptimeSeconds: 0 }, { ...first, uptimeSeconds: 0 }, 'the same kernel');

    await sandbox.pause({ keepMemory: false });
    const filesAlone = await pausedBytes();
    assert.ok(filesAlone < withMemory - touchedBytes, `${filesAlone} of ${withMemory} bytes are left`);
    test.diagnostic(`on disk while paused: ${withMemory} bytes with memory, ${filesAlone} without`);
    await stopProcess(server.process);
    server = await startServer({ dataDir, port: Number(new URL(url).port) });
    const from = Date.now();
    await sandbox.connect(connection);
    test.diagnostic(`booted within ${Date.now() - from} ms`);
    const third = await seen();
    const { bootId, rest, uptimeSeconds, ...same } = third;
    assert.notEqual(bootId, first.bootId);
    assert.deepEqual(rest, [], 'neither memory nor programs');
    assert.ok(
      uptimeSeconds * 1000 <= Date.now() - from,
      `${uptimeSeconds} s are longer than the connect took`,
    );
    const { machineId, hostname, bound } = first;
    assert.deepEqual(same, { machineId, hostname, bound });
    assert.equal(await sandbox.files.read('kept'), 'words');
    assert.equal(await sandbox.files.read('/data/kept'), 'words of a volume');
    await sandbox.commands.run('getent hosts asked.example || true');
    for (let round = 0; ; round += 1) {
      const query = { sandboxId: native.id, action: 'network.denied' };
      const asked = await server.client.audit.list(query);
      if (asked.some(({ detail }) => detail.host === 'asked.example')) break;
      assert.ok(round < 100, 'its network leads to the proxy, which knows whose it is');
      await sleep(100);
    }

    // One that has booted is paused like any other; and booted again by who asks for that at the resume.
    await native.pause();
    await native.resume();
    assert.equal((await seen()).bootId, bootId);
    await sandbox.pause();
    await sandbox.connect({ ...connection, onResume: 'reboot' });
    const last = await seen();
    assert.ok(last.bootId !== bootId && last.bootId !== first.bootId);
    assert.equal(await sandbox.files.read('kept'), 'words');
    await sandbox.kill();
    assert.equal(await pausedBytes(), 0);
  } finally {
    await server.close();
  }
});
