/** Runs the shared driver suite against real virtual machines. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { slowBootMs, testHost } from '../../../test/drivers/host.ts';
import { newId } from '../../base/ids.ts';
import { attachAgent } from '../../guest/attach.ts';
import { takeDenials } from '../../network/denials.ts';
import { type ConformanceSubject, conformance } from '../conformance.ts';
import { QemuDriver } from './driver.ts';

const host = testHost('qemu');
const { folder, cgroups } = host;
const kvmBootMsMax = slowBootMs();

function makeDriver(): QemuDriver {
  return new QemuDriver({
    libraryDir: host.paths.library,
    agentDir: host.paths.agentDir,
    cacheDir: join(folder, 'machines'),
    ...(kvmBootMsMax === undefined ? {} : { kvmBootMsMax }),
    sandboxesDir: join(folder, 'sandboxes'),
    cgroups,
  });
}

const subject = (): Promise<ConformanceSubject> => host.subject(makeDriver);

function missing(): string | false {
  if (!existsSync('/usr/bin/qemu-system-x86_64')) return 'QEMU is not installed (make setup)';
  return host.missing();
}

conformance('qemu', subject, missing());

describe('qemu alone', { skip: missing() }, () => {
  const limits = { cpus: 1, memoryMib: 256, diskMib: 128, pids: 256 };

  /** Clones of the base template, side by side. */
  async function withMachines(
    count: number,
    work: (made: ConformanceSubject, ids: string[]) => Promise<void>,
  ): Promise<void> {
    const made = await subject();
    const ids = Array.from({ length: count }, () => newId());
    try {
      for (const id of ids) {
        const { templateRoot: root, streamOwner } = made;
        const networkNamespace = await made.makeNetwork(id);
        // With the template named ahead, QEMU waits from here on.
        await made.driver.stage({ id, limits, templateRoot: root });
        const common = { templateRoot: root, limits, stagedLimits: limits, hostname: 'sandbox', streamOwner };
        await made.driver.create({ id, networkNamespace, ...common });
      }
      await work(made, ids);
    } finally {
      for (const id of ids) {
        await made.driver.destroy(id);
        await made.removeNetwork(id);
      }
    }
  }

  it('ends one sandbox, and no other, when its kernel panics', () =>
    withMachines(2, async ({ driver, runInside }, [doomed = '', other = '']) => {
      const off = 'echo 1 > /proc/sys/kernel/sysrq; echo o > /proc/sysrq-trigger; sleep 60';
      const panic = 'echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger';
      await assert.rejects(runInside(driver, doomed, ['/bin/sh', '-c', panic]), { code: 'sandbox_ended' });
      // Its stream ends a moment before its process does.
      const until = Date.now() + 10_000;
      while ((await driver.inspect(doomed)).state !== 'gone' && Date.now() < until) await sleep(20);
      const { state, kernelPanic } = await driver.inspect(doomed);
      assert.deepEqual([state, kernelPanic], ['gone', true]);
      assert.equal((await runInside(driver, other, ['/bin/true'])).exitCode, 0);
      await assert.rejects(runInside(driver, other, ['/bin/sh', '-c', off]), { code: 'sandbox_ended' });
      assert.equal((await driver.inspect(other)).kernelPanic, undefined);
    }));

  it('leaves no file of a snapshot open to be written to, and lets the machine go over to it', () =>
    withMachines(1, async ({ driver, runInside }, [id = '']) => {
      const write = (word: string): Promise<{ exitCode: number }> =>
        runInside(driver, id, ['/bin/sh', '-c', `echo ${word} >> /var/words; sync`]);
      for (const [round, word] of ['one', 'two', 'three'].entries()) {
        assert.equal((await write(word)).exitCode, 0);
        const target = join(folder, `sealed${round}`);
        mkdirSync(target);
        await driver.snapshot(id, target);
        const sealed = readdirSync(target).map((name) => statSync(join(target, name)).ino);
        const opened = cgroups.programs(id).flatMap(openFiles);
        const layers = opened.filter(({ path }) => /layer\d/.test(path));
        assert.deepEqual(
          opened.filter(({ inode, writable }) => writable && sealed.includes(inode)),
          [],
        );
        // All layers below, as they are in the snapshot, and one of its own; none that is gone.
        assert.equal(layers.filter(({ writable }) => writable).length, 1);
        assert.equal(new Set(layers.map(({ inode }) => inode)).size, round + 3);
        assert.ok(layers.every(({ path }) => !path.endsWith('(deleted)')));
      }
      const { stdout } = await runInside(driver, id, ['/bin/cat', '/var/words']);
      assert.equal(stdout, 'one\ntwo\nthree\n');
    }));

  it('gives a clone its own clock, randomness and name when the caller binds it', () =>
    withMachines(2, async ({ driver, runInside }, ids) => {
      const seen = await Promise.all(
        ids.map(async (id, index) => {
          const guest = await attachAgent(driver.agentStream(id));
          const threeDaysMs = 3 * 24 * 3_600_000;
          await guest.bind({ clockUnixMs: Date.now() - threeDaysMs });
          await guest.bind({
            clockUnixMs: Date.now(),
            entropyBase64: randomBytes(64).toString('base64'),
            hostname: `clone-${index}`,
          });
          guest.close();
          const line = 'date +%s; hostname; head -c 16 /dev/urandom | od -An -tx1';
          return (await runInside(driver, id, ['/bin/sh', '-c', line])).stdout.split('\n');
        }),
      );
      for (const [index, [seconds, hostname]] of seen.entries()) {
        assert.ok(Math.abs(Number(seconds) * 1000 - Date.now()) < 20_000, seconds);
        assert.equal(hostname, `clone-${index}`);
      }
      assert.notEqual(seen[0]?.[2], seen[1]?.[2]);
    }));

  it('refuses what a program tries to reach, at once and on record', () =>
    withMachines(1, async ({ driver, runInside }, [id = '']) => {
      const knock = 'exec 2>&1; (exec 3<>/dev/tcp/203.0.113.9/443) && echo reached';
      const ran = await runInside(driver, id, ['/bin/bash', '-c', knock]);
      assert.match(ran.stdout, /unreachable|refused/i);
      const denials = await takeDenials(host.gate);
      assert.ok(
        denials.some(({ address, port }) => address === '203.0.113.9' && port === 443),
        JSON.stringify(denials),
      );
    }));

  // What waits there may not have come as far as its control groups, which tell what runs: hence the moments.
  it('starts one QEMU in a folder, also where what waited there was started for another source', () =>
    withMachines(1, async (made, [id = '']) => {
      const { driver, streamOwner, templateRoot: root } = made;
      const source = join(folder, 'source');
      mkdirSync(source);
      await driver.snapshot(id, source);
      for (const momentMs of [0, 4, 6, 8, 15]) {
        const child = newId();
        const networkNamespace = await made.makeNetwork(child);
        try {
          await driver.stage({ id: child, limits, templateRoot: root });
          await sleep(momentMs);
          const common = { templateRoot: root, limits, stagedLimits: limits, hostname: '', streamOwner };
          await driver.restore({ id: child, networkNamespace, ...common }, source);
          assert.equal(cgroups.programs(child).length, 1);
          // Over the control socket in its folder, which has to be its own.
          const target = join(folder, `target${momentMs}`);
          mkdirSync(target);
          await driver.snapshot(child, target);
        } finally {
          await driver.destroy(child);
          await made.removeNetwork(child);
        }
      }
    }));

  it('keeps QEMU to a user of its own, without rights and with nothing else to see', () =>
    withMachines(2, async (_, ids) => {
      const users = ids.map((id) => {
        const [pid] = cgroups.programs(id);
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        assert.match(status, /^CapBnd:\s0+$/m);
        assert.match(status, /^NoNewPrivs:\s1$/m);
        assert.match(status, /^Seccomp:\s2$/m);
        assert.deepEqual(readdirSync(`/proc/${pid}/root/vm`).includes('machine.json'), true);
        assert.ok(!existsSync(`/proc/${pid}/root/etc`));
        return /^Uid:\s(\d+)/m.exec(status)?.[1];
      });
      assert.equal(new Set(users).size, 2);
      assert.ok(!users.includes('0'));
    }));
});

/** What a process has open, with the rights that it has it open with. */
function openFiles(pid: number): { path: string; inode: number; writable: boolean }[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
    const path = readlinkSync(`/proc/${pid}/fd/${descriptor}`);
    const info = readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8');
    const flags = Number.parseInt(/^flags:\s(\d+)/m.exec(info)?.[1] ?? '0', 8);
    const stat = statSync(`/proc/${pid}/fd/${descriptor}`, { throwIfNoEntry: false });
    return stat === undefined ? [] : [{ path, inode: stat.ino, writable: (flags & 3) !== 0 }];
  });
}

after(() => host.cleanUp());
