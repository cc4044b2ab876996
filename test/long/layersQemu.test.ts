/** A virtual machine's disk over more snapshots than it keeps layers: nothing that was written to it is lost. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, it } from 'node:test';
import type { CreateOptions } from '../../src/runtime/driver.ts';
import { newId } from '../../src/base/ids.ts';
import { layersUsual } from '../../src/runtime/qemu/flatten.ts';
import { QemuDriver } from '../../src/runtime/qemu/driver.ts';
import { readRecord } from '../../src/runtime/qemu/source.ts';
import { testHost } from '../drivers/host.ts';

const host = testHost('qemu');
const { folder, cgroups } = host;
const limits = { cpus: 1, memoryMib: 256, diskMib: 128, pids: 256 };
after(() => host.cleanUp());

it('keeps what every layer held, in snapshots of one machine and over restores and boots', {
  skip: host.missing(),
}, async () => {
  const { driver, makeNetwork, removeNetwork, runInside, templateRoot, streamOwner } = await host.subject(
    () =>
      new QemuDriver({
        libraryDir: host.paths.library,
        agentDir: host.paths.agentDir,
        cacheDir: join(folder, 'machines'),
        sandboxesDir: join(folder, 'sandboxes'),
        cgroups,
      }),
  );
  const withMachine = async (
    start: (options: CreateOptions) => Promise<unknown>,
    work: (id: string) => Promise<void>,
  ): Promise<void> => {
    const id = newId();
    const networkNamespace = await makeNetwork(id);
    try {
      await driver.stage({ id, limits });
      const common = { templateRoot, limits, stagedLimits: limits, hostname: 'sandbox', streamOwner };
      await start({ id, networkNamespace, ...common });
      await work(id);
    } finally {
      await driver.destroy(id);
      await removeNetwork(id);
    }
  };
  const inside = async (id: string, line: string): Promise<string> => {
    const { exitCode, stdout } = await runInside(driver, id, ['/bin/sh', '-c', line]);
    assert.equal(exitCode, 0, stdout);
    return stdout;
  };
  const fresh = (name: string): string => {
    const target = join(folder, name);
    mkdirSync(target);
    return target;
  };
  const sums = 'sync; echo 3 > /proc/sys/vm/drop_caches; cd /var/kept && sha256sum *'; // as the disk has it
  let written = '';
  let round = 0;
  const write = async (id: string): Promise<void> => {
    round += 1;
    const name = `/var/kept/${round}`;
    await inside(id, `mkdir -p /var/kept; head -c 100000 /dev/urandom > ${name}; rm -f /var/kept/gone; sync`);
    if (round === 3) await inside(id, 'rm /var/kept/1; echo again > /var/kept/2; sync');
    written = await inside(id, sums);
  };
  const layersOf = async (source: string): Promise<number> => (await readRecord(source)).layers;

  let source = '';
  let deepest = 0;
  await withMachine(
    (options) => driver.create(options),
    async (id) => {
      while (round < layersUsual + 2) {
        await write(id);
        source = fresh(`live${round}`);
        await driver.snapshot(id, source);
        deepest = Math.max(deepest, await layersOf(source));
      }
      assert.equal(await inside(id, sums), written, 'the machine itself goes on as it was');
    },
  );
  assert.deepEqual([deepest, await layersOf(source)], [layersUsual, 2]);
  for (const pause of ['memory', 'files', 'memory', 'files']) {
    const from = source;
    const files = from.includes('files');
    await withMachine(
      (options) => (files ? driver.boot(options, from) : driver.restore(options, from)),
      async (id) => {
        assert.equal(await inside(id, sums), written);
        await write(id);
        source = fresh(`${pause}${round}`);
        await (pause === 'files' ? driver.saveFiles(id, source) : driver.snapshot(id, source));
      },
    );
  }
  await withMachine(
    (options) => driver.boot(options, source),
    async (id) => {
      assert.equal(await inside(id, sums), written);
      // Its root breaks the disk: no boot, and the files stay for who wants to look at them.
      await inside(id, 'dd if=/dev/zero of=/dev/vdb bs=64k count=1 conv=fsync 2>/dev/null');
      source = fresh('broken');
      await driver.saveFiles(id, source);
    },
  );
  await withMachine(
    (options) => assert.rejects(driver.boot(options, source), { code: 'snapshot_damaged' }),
    async () => {},
  );
});
