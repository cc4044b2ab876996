/** The one suite that every driver passes: a driver is done when this is green, and no test knows its name. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

/** @param skip the reason why this machine cannot run the driver; printed with every skipped test. */
export function conformance(
  name: string,
  subject: () => Promise<ConformanceSubject>,
  skip: string | false,
): void {
  describe(`runtime ${name}`, { skip }, () => {
    /** A staged sandbox for as long as `work` takes; whatever happens, nothing of it is left. */
    const withStaged = async (
      work: (subject: ConformanceSubject, create: CreateOptions) => Promise<void>,
    ): Promise<void> => {
      const made = await subject();
      const id = newId();
      const networkNamespace = await made.makeNetwork(id);
      try {
        await made.driver.prepare(made.templateRoot);
        await made.driver.stage({ id, limits: small });
        const { templateRoot, streamOwner } = made;
        const limits = { limits: small, stagedLimits: small };
        await work(made, { id, templateRoot, ...limits, networkNamespace, hostname: 'sandbox', streamOwner });
      } finally {
        await made.driver.destroy(id);
        await made.removeNetwork(id);
        assert.deepEqual(
          (await made.driver.leftovers()).filter((left) => left === id),
          [],
        );
      }
    };

    const withSandbox = (work: (subject: ConformanceSubject, id: string) => Promise<void>): Promise<void> =>
      withStaged(async (made, create) => {
        await made.driver.create(create);
        await work(made, create.id);
      });

    it('says what it is by starting a real sandbox', async () => {
      const probe = await (await subject()).driver.probe();
      assert.equal(probe.available, true, JSON.stringify(probe));
    });

    it('starts a sandbox whose agent answers and runs programs', () =>
      withSandbox(async ({ driver, runInside }, id) => {
        const ran = await runInside(driver, id, ['/bin/echo', 'from inside']);
        assert.deepEqual(ran, { exitCode: 0, stdout: 'from inside\n' });
        const inspection = await driver.inspect(id);
        assert.equal(inspection.state, 'running');
        assert.ok(inspection.memoryBytes > 0 && inspection.pids > 0, JSON.stringify(inspection));
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

    it('writes a snapshot of a running sandbox, from which others start any number of times', (t) =>
      withSandbox(async ({ driver, runInside }, id) => {
        const probe = await driver.probe();
        assert.ok(probe.available);
        if (!probe.capabilities.snapshot) return t.skip('this runtime takes no snapshots');
        const shell = (line: string): readonly string[] => ['/bin/sh', '-c', line];
        await runInside(driver, id, shell('echo before > /var/disk; echo before > /dev/shm/memory'));
        await inDirectory(async (directory) => {
          await driver.snapshot(id, directory, { keepRunning: true });
          await runInside(driver, id, shell('echo after > /var/disk; echo after > /dev/shm/memory'));
          for (let round = 0; round < 2; round += 1) {
            await withStaged(async (other, create) => {
              await other.driver.restore(create, directory);
              const seen = await runInside(other.driver, create.id, shell('cat /var/disk /dev/shm/memory'));
              assert.deepEqual(seen, { exitCode: 0, stdout: 'before\nbefore\n' });
              await runInside(other.driver, create.id, shell('echo mine > /var/disk'));
            });
          }
          const source = await runInside(driver, id, shell('cat /var/disk /dev/shm/memory'));
          assert.equal(source.stdout, 'after\nafter\n');
          // A snapshot of a sandbox that had one already holds what was written since.
          await inDirectory(async (second) => {
            await driver.snapshot(id, second, { keepRunning: false });
            assert.equal((await driver.inspect(id)).state, 'gone');
            await withStaged(async (other, create) => {
              await other.driver.restore(create, second);
              const seen = await runInside(other.driver, create.id, shell('cat /var/disk /dev/shm/memory'));
              assert.equal(seen.stdout, 'after\nafter\n');
            });
          });
        });
      }));

    it('starts children from a running sandbox, which goes on; a child that fails fails alone', (t) =>
      withSandbox(async ({ driver, runInside }, id) => {
        const probe = await driver.probe();
        assert.ok(probe.available);
        if (probe.capabilities.fork === 'none') return t.skip('this runtime does not fork');
        await runInside(driver, id, [
          '/bin/sh',
          '-c',
          'echo shared > /var/disk; echo shared > /dev/shm/memory',
        ]);
        await withStaged(async (_, first) =>
          withStaged(async (__, second) => {
            const broken = { ...second, id: newId() }; // was never staged
            const settled = await driver.fork(id, [first, broken, second]);
            assert.deepEqual(
              settled.map(({ status }) => status),
              ['fulfilled', 'rejected', 'fulfilled'],
              JSON.stringify(settled),
            );
            await driver.destroy(broken.id);
            for (const child of [first.id, second.id]) {
              const line = 'cat /var/disk /dev/shm/memory; echo mine > /var/disk; cat /var/disk';
              const seen = await runInside(driver, child, ['/bin/sh', '-c', line]);
              assert.equal(seen.stdout, 'shared\nshared\nmine\n');
            }
            assert.equal((await runInside(driver, id, ['/bin/cat', '/var/disk'])).stdout, 'shared\n');
          }),
        );
      }));

    it('refuses a snapshot that another build wrote', (t) =>
      withSandbox(async ({ driver }, id) => {
        const probe = await driver.probe();
        assert.ok(probe.available);
        if (!probe.capabilities.snapshot) return t.skip('this runtime takes no snapshots');
        await inDirectory(async (directory) => {
          await driver.snapshot(id, directory, { keepRunning: true });
          for (const name of readdirSync(directory)) {
            if (!name.endsWith('.json')) continue;
            const text = readFileSync(join(directory, name), 'utf8');
            writeFileSync(join(directory, name), text.replaceAll(probe.version, '0.0.1'));
          }
          await withStaged((other, create) =>
            assert.rejects(other.driver.restore(create, directory), isMismatch),
          );
        });
      }));

    it('says what it cannot do', async () => {
      const { driver } = await subject();
      const probe = await driver.probe();
      assert.ok(probe.available);
      if (!probe.capabilities.snapshot)
        await assert.rejects(
          driver.snapshot('0'.repeat(20), '/nowhere', { keepRunning: true }),
          isUnsupported,
        );
      if (probe.capabilities.fork === 'none')
        await assert.rejects(driver.fork('0'.repeat(20), []), isUnsupported);
    });

    it('destroys what it never saw, and twice', async () => {
      const { driver } = await subject();
      const id = newId();
      await driver.destroy(id);
      await driver.destroy(id);
      assert.equal((await driver.inspect(id)).state, 'gone');
    });
  });
}

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'casemate-snapshot-'));
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
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
