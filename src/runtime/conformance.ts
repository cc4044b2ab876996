/** The one suite that every driver passes: a driver is done when this is green, and no test knows its name. */
import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../base/errors.ts';
import { newId } from '../base/ids.ts';
import type { CreateOptions, RuntimeDriver, SandboxLimits } from './driver.ts';

/** What a driver brings along; the suite itself opens no stream of its own making. */
export interface ConformanceSubject {
  readonly driver: RuntimeDriver;
  /** A driver object as a restarted root process would have it: same folders, no memory of earlier calls. */
  readonly again: () => RuntimeDriver;
  readonly templateRoot: string;
  readonly streamOwner: CreateOptions['streamOwner'];
  /** Makes a network namespace for `id` and answers its name. */
  readonly makeNetwork: (id: string) => Promise<string>;
  readonly removeNetwork: (id: string) => Promise<void>;
  /** Says HELLO to the agent behind the stream and runs `argv`; answers its exit code and stdout. */
  readonly runInside: (
    driver: RuntimeDriver,
    id: string,
    argv: readonly string[],
  ) => Promise<{ exitCode: number; stdout: string }>;
}

const small: SandboxLimits = { cpus: 1, memoryMib: 256, diskMib: 128, pids: 256 };

/** Written to memory by one whose files alone are kept. */
const memoryBytes = 48 * 1024 * 1024;

/** @param skip the reason why this machine cannot run the driver; printed with every skipped test. */
export function conformance(
  name: string,
  subject: () => Promise<ConformanceSubject>,
  skip: string | false,
): void {
  describe(`runtime ${name}`, { skip }, () => {
    const withStaged = async (
      made: ConformanceSubject,
      work: (options: CreateOptions) => Promise<void>,
    ): Promise<void> => {
      const id = newId();
      const networkNamespace = await made.makeNetwork(id);
      const { templateRoot, streamOwner } = made;
      try {
        await made.driver.prepare(templateRoot);
        await made.driver.stage({ id, limits: small });
        await work({
          id,
          templateRoot,
          limits: small,
          stagedLimits: small,
          networkNamespace,
          hostname: 'sandbox',
          streamOwner,
        });
      } finally {
        await made.driver.destroy(id);
        await made.removeNetwork(id);
        assert.deepEqual(
          (await made.driver.leftovers()).filter((left) => left === id),
          [],
        );
      }
    };
    const withSandbox = async (
      work: (subject: ConformanceSubject, id: string) => Promise<void>,
    ): Promise<void> => {
      const made = await subject();
      await withStaged(made, async (options) => {
        await made.driver.create(options);
        await work(made, options.id);
      });
    };

    it('says what it is by starting a real sandbox', async () => {
      const probe = await (await subject()).driver.probe();
      assert.ok(probe.available, JSON.stringify(probe));
      const { isolation, acceleration } = probe.capabilities;
      assert.equal(acceleration !== undefined, isolation === 'virtual-machine', 'says what runs its guest');
    });

    it('starts a sandbox whose agent answers and runs programs', () =>
      withSandbox(async ({ driver, runInside }, id) => {
        const ran = await runInside(driver, id, ['/bin/echo', 'from inside']);
        assert.deepEqual(ran, { exitCode: 0, stdout: 'from inside\n' });
        const inspection = await driver.inspect(id);
        assert.equal(inspection.state, 'running');
        assert.ok(inspection.memoryBytes > 0 && inspection.pids > 0, JSON.stringify(inspection));
      }));

    it('runs a program that was written inside', () =>
      withSandbox(async ({ driver, runInside }, id) => {
        const copied = 'cp /bin/echo /usr/local/bin/copied && /usr/local/bin/copied from a copy';
        const ran = await runInside(driver, id, ['/bin/sh', '-c', copied]);
        assert.deepEqual(ran, { exitCode: 0, stdout: 'from a copy\n' });
      }));

    it('lets folders of the host appear while it runs, read-only where they shall be, or says that it cannot', () =>
      withSandbox(async ({ driver, runInside }, id) => {
        const probe = await driver.probe();
        assert.ok(probe.available);
        const folder = await mkdtemp(join(tmpdir(), 'casemate-attach-'));
        await writeFile(join(folder, 'file'), 'from the host');
        const handle = await open(folder);
        try {
          const attach = (slot: number, readOnly: boolean): Promise<void> =>
            driver.attach(id, { slot, descriptor: handle.fd, readOnly });
          if (probe.capabilities.volumes === 'none')
            return await assert.rejects(attach(0, false), { code: 'unsupported' });
          if (probe.capabilities.volumes === 'stream') return await attach(0, false); // no folder appears
          await attach(0, false);
          await attach(1, true);
          const look =
            'cd /.casemate/volumes; cat 0/file 1/file; echo x > 0/inside; rm 1/file; echo x > 1/new';
          assert.equal(
            (await runInside(driver, id, ['/bin/sh', '-c', look])).stdout,
            'from the host'.repeat(2),
          );
          assert.deepEqual((await readdir(folder)).sort(), ['file', 'inside']);
        } finally {
          await handle.close();
          await driver.destroy(id);
          await rm(folder, { recursive: true });
        }
      }));

    it('is found again by a driver that remembers nothing', () =>
      withSandbox(async ({ again, runInside }, id) => {
        const second = again();
        assert.equal((await second.inspect(id)).state, 'running');
        assert.ok((await second.leftovers()).includes(id));
        assert.equal((await runInside(second, id, ['/bin/true'])).exitCode, 0);
      }));

    it('keeps the template read-only and the layer private', () =>
      withSandbox(async ({ driver, runInside }, id) => {
        assert.equal(
          (await runInside(driver, id, ['/bin/sh', '-c', 'echo mine > /usr/bin/mine && rm /bin/date']))
            .exitCode,
          0,
        );
        await withSandbox(async (other, otherId) => {
          // Not `ls`: an old application kernel may lack a system call that this year's coreutils use.
          const look = '[ ! -e /usr/bin/mine ] && [ -e /bin/date ] && echo untouched';
          const seen = await other.runInside(other.driver, otherId, ['/bin/sh', '-c', look]);
          assert.equal(seen.stdout, 'untouched\n');
        });
      }));

    it('holds the memory limit, alone', () =>
      withSandbox(async ({ driver, runInside }, id) => {
        const hungry = 'head -c 600000000 /dev/zero | tail > /dev/null';
        const ran = await runInside(driver, id, ['/bin/sh', '-c', hungry]).catch(() => undefined);
        const last = await driver.inspect(id);
        // A kernel of its own ends the program inside (128 + SIGKILL), and the host does not hear of it.
        const endedInside = ran?.exitCode === 137;
        assert.ok(last.oomKills > 0 || last.state === 'gone' || endedInside, JSON.stringify({ last, ran }));
        assert.ok(last.memoryBytes <= small.memoryMib * 1024 * 1024, String(last.memoryBytes));
      }));

    it('changes limits of a running sandbox where it says so', () =>
      withSandbox(async ({ driver, runInside }, id) => {
        const probe = await driver.probe();
        assert.ok(probe.available);
        if (!probe.capabilities.lateLimits.includes('diskMib')) return;
        await driver.setLimits(id, { ...small, diskMib: 64 }, small);
        const fill = 'head -c 100000000 /dev/zero > /tmp/fill; wc -c < /tmp/fill';
        const ran = runInside(driver, id, ['/bin/sh', '-c', fill]);
        if (probe.capabilities.atDiskLimit === 'ends') return assert.rejects(ran, isEnded);
        const written = Number((await ran).stdout);
        assert.ok(written > 0 && written < 64 * 1024 * 1024, String(written));
      }));

    it('stands still in memory without using the processor, goes on, and can be ended while it stands still', () =>
      withSandbox(async ({ driver, runInside }, id) => {
        await driver.pause(id);
        const before = (await driver.inspect(id)).cpuMicroseconds;
        await sleep(300);
        assert.ok(
          (await driver.inspect(id)).cpuMicroseconds - before < 10_000,
          'a paused sandbox uses processor time',
        );
        const { file, frozen, thawed } = driver.freezer(id);
        writeFileSync(file, thawed);
        assert.equal((await runInside(driver, id, ['/bin/true'])).exitCode, 0);
        writeFileSync(file, frozen);
      }));

    it('writes a running sandbox down, and starts others from it with their files and processes', (test) =>
      withSandbox(async (made, id) => {
        const { driver, runInside } = made;
        const probe = await driver.probe();
        assert.ok(probe.available);
        if (probe.capabilities.snapshot === 'none') {
          await assert.rejects(driver.snapshot(id, '/nowhere'), isUnsupported);
          return test.skip('this build takes no snapshots, and says so');
        }
        const counting =
          'echo mine > /root/mine; (while true; do echo >> /root/count; sleep 0.1; done) > /dev/null &';
        await runInside(driver, id, ['/bin/sh', '-c', counting]);
        const directory = await mkdtemp(join(tmpdir(), 'casemate-snapshot-'));
        const count = 'wc -l < /root/count';
        try {
          await driver.snapshot(id, directory);
          const gone = (await driver.inspect(id)).state === 'gone';
          assert.equal(gone, probe.capabilities.snapshot === 'ends');
          for (let child = 0; child < 2; child += 1) {
            await withStaged(made, async (options) => {
              await driver.restore(options, directory);
              const look = `cat /root/mine; ${count}; sleep 0.5; ${count}`;
              const ran = await runInside(driver, options.id, ['/bin/sh', '-c', look]);
              const [mine, first, later] = ran.stdout.trim().split('\n');
              assert.equal(mine, 'mine');
              assert.ok(
                Number(first) >= 1 && Number(later) > Number(first),
                `a process that counts: ${ran.stdout}`,
              );
            });
          }
          // As if another build had written it.
          for (const name of (await readdir(directory)).filter((file) => file.endsWith('.json'))) {
            const text = await readFile(join(directory, name), 'utf8');
            await writeFile(join(directory, name), text.replaceAll(probe.version, '0.0.1'));
          }
          await withStaged(made, (options) => assert.rejects(driver.restore(options, directory), isMismatch));
        } finally {
          await rm(directory, { recursive: true, force: true });
        }
      }));

    it('keeps files alone, and boots another kernel on them, or says that it cannot', (test) =>
      withSandbox(async (made, id) => {
        const { driver, runInside } = made;
        const probe = await driver.probe();
        assert.ok(probe.available);
        if (!probe.capabilities.reboots) {
          await assert.rejects(driver.saveFiles(id, '/nowhere'), isUnsupported);
          return test.skip('it cannot, and says so');
        }
        const look = 'cat /proc/sys/kernel/random/boot_id /root/mine; ls /dev/shm';
        const inMemory = `head -c ${memoryBytes} /dev/urandom > /dev/shm/memory`;
        const write = `echo mine > /root/mine; chown 1000:1000 /root/mine; rm /bin/date; ${inMemory}; sync; ${look}`;
        const before = (await runInside(driver, id, ['/bin/sh', '-c', write])).stdout.split('\n');
        assert.deepEqual(before.slice(1, 3), ['mine', 'memory']);
        const directory = await mkdtemp(join(tmpdir(), 'casemate-files-'));
        try {
          await driver.saveFiles(id, directory);
          assert.equal((await driver.inspect(id)).state, 'gone');
          await driver.destroy(id);
          const bytes = (await readdir(directory))
            .map((name) => statSync(join(directory, name)).blocks * 512)
            .reduce((sum, one) => sum + one, 0);
          assert.ok(bytes < memoryBytes, `${bytes} bytes were kept`);
          await withStaged(made, async (options) => {
            await driver.boot(options, directory);
            const after = `${look}; [ ! -e /bin/date ] && stat -c %u /root/mine`;
            const ran = await runInside(driver, options.id, ['/bin/sh', '-c', after]);
            const [bootId, ...found] = ran.stdout.trim().split('\n');
            assert.deepEqual(found, ['mine', '1000']);
            assert.notEqual(bootId, before[0], 'another kernel');
          });
        } finally {
          await rm(directory, { recursive: true, force: true });
        }
      }));

    it('destroys what it never saw, and twice', async () => {
      const { driver } = await subject();
      const id = newId();
      await driver.destroy(id);
      await driver.destroy(id);
      assert.equal((await driver.inspect(id)).state, 'gone');
    });
  });
}

function isMismatch(error: unknown): boolean {
  return error instanceof CasemateError && error.code === 'snapshot_mismatch';
}

function isUnsupported(error: unknown): boolean {
  return error instanceof CasemateError && error.code === 'unsupported';
}

function isEnded(error: unknown): boolean {
  return error instanceof CasemateError && error.code === 'sandbox_ended';
}
