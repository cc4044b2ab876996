/** The hostile programs against a runtime, through the server: each is bounded, and its neighbour is well meanwhile. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HostileProgram, hostilePrograms, sourceOf } from '../../attack/programs.ts';
import { type CreateOptions, type ExecResult, Sandbox } from '../../sdk/typescript/src/index.ts';
import { residentBytes, serverPid } from './host.ts';
import { endOf, missingForServer, startServer, type TestServer } from './server.ts';

export function hostileSuite(runtime: string): void {
  describe(`hostile programs on ${runtime}`, { skip: missingForServer() ?? false }, () => {
    let server: TestServer;
    before(async () => {
      server = await startServer();
    });
    after(() => server.close());
    const create = (options: CreateOptions = {}): Promise<Sandbox> =>
      Sandbox.create({ url: server.url, apiKey: server.apiKey, runtime, ...options });

    /** Runs it beside a neighbour. @returns no result where the sandbox ended with it. */
    async function attack(
      program: HostileProgram,
      options: { args?: string[]; timeoutMs?: number } = {},
    ): Promise<{ sbx: Sandbox; result: ExecResult | undefined }> {
      const neighbour = await create();
      const sbx = await create({ template: 'python', limits: { memoryMib: 384, diskMib: 128 } });
      await sbx.files.write('hostile.py', await sourceOf(program));
      const running = sbx.exec(['python3', 'hostile.py', ...(options.args ?? [])], {
        timeoutMs: options.timeoutMs ?? 8000,
      });
      const result = await running.catch(() => undefined);
      assert.equal((await neighbour.exec(['echo', 'well'])).stdout, 'well\n');
      await neighbour.kill();
      return { sbx, result };
    }

    it('hides the host’s files', async () => {
      const { sbx, result } = await attack(hostilePrograms.hostFiles, {
        args: [server.apiKey, `${server.dataDir}/server/admin.key`],
        timeoutMs: 60_000,
      });
      assert.match(result?.stdout ?? '', /found 0\n$/);
      // A kernel of its own has block devices of its own, where the marker of the host was not found.
      const hasDevices = (await sbx.info()).isolation === 'virtual-machine';
      if (!hasDevices) assert.match(result?.stdout ?? '', /no block device/);
      await sbx.kill();
    });

    it('refuses the network and records it', async () => {
      const { sbx, result } = await attack(hostilePrograms.network, { timeoutMs: 60_000 });
      assert.match(result?.stdout ?? '', /reached 0\n$/);
      await sleep(2500);
      const denied = await server.client.audit.list({ sandboxId: sbx.id, action: 'network.denied' });
      assert.ok(denied.some(({ detail }) => detail.host === '169.254.169.254' && detail.port === 80));
      await sbx.kill();
    });

    it('bounds a fork bomb', async () => {
      const { sbx } = await attack(hostilePrograms.forkBomb);
      await sbx.kill();
    });

    it('bounds memory', async () => {
      const { sbx, result } = await attack(hostilePrograms.memoryHog, { timeoutMs: 30_000 });
      if (result === undefined) assert.equal((await endOf(sbx)).endReason, 'memory_limit');
      else assert.notEqual(result.exitCode, 0);
      await sbx.kill();
    });

    it('bounds the disk, and gives room again after files are removed', async () => {
      const { sbx, result } = await attack(hostilePrograms.diskFill, { timeoutMs: 60_000 });
      assert.match(result?.stdout ?? '', /stopped:[\s\S]*room again/);
      await sbx.kill();
    });

    it('bounds a million empty files, by the disk’s inodes or by ending the sandbox, alone', async () => {
      const { sbx, result } = await attack(hostilePrograms.emptyFiles, { timeoutMs: 60_000 });
      if (result === undefined) assert.equal((await endOf(sbx)).endReason, 'memory_limit');
      else assert.match(result.stderr, /No space left on device/);
      await sbx.kill();
    });

    it('does not drown in output that nobody reads', async () => {
      const sbx = await create({ template: 'python' });
      await sbx.files.write('hostile.py', await sourceOf(hostilePrograms.outputFlood));
      const pid = serverPid(server.process.pid ?? 0);
      const flood = await sbx.spawn(['python3', 'hostile.py'], { timeoutMs: 5000 });
      await flood.detach();
      const before = residentBytes(pid);
      await sleep(3000);
      assert.ok(residentBytes(pid) - before < 32 * 1024 * 1024);
      await sbx.kill();
    });

    it('kills what ignores SIGTERM, and daemons end with their sandbox', async () => {
      const { sbx, result } = await attack(hostilePrograms.ignoresSigterm, { timeoutMs: 5000 });
      assert.deepEqual([result?.reason, result?.signal], ['deadline', 'SIGKILL']);
      await sbx.files.write('daemons.py', await sourceOf(hostilePrograms.daemons));
      assert.match((await sbx.exec(['python3', 'daemons.py'])).stdout, /left behind/);
      await sbx.kill();
    });

    it('ends one sandbox, and says why in its record, when a kernel of its own panics', async (test) => {
      await using doomed = await create();
      if ((await doomed.info()).isolation !== 'virtual-machine')
        return test.skip('its kernel is a process of the host, and has no such switch');
      await using neighbour = await create();
      const panic = 'echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger';
      await assert.rejects(doomed.exec(panic, { user: 'root' }), { code: 'sandbox_ended' });
      assert.equal((await endOf(doomed)).endReason, 'kernel_panic');
      assert.equal((await neighbour.exec(['echo', 'well'])).stdout, 'well\n');
    });
  });
}
