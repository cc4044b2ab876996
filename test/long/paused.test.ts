/** A hundred paused sandboxes cost disk only, and all of them go on after the server was started anew. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { tracesOf } from '../system/host.ts';
import { missingForServer, startServer, stopProcess, type TestServer } from '../system/server.ts';

const runtimes = ['gvisor', 'qemu'] as const;
/** Of each runtime; CASEMATE_PAUSED makes a quick run. */
const each = Number(process.env.CASEMATE_PAUSED ?? 50);
const touching = Math.ceil(each / 10);
const countingOnes = Math.ceil(each / 5);
const touchedMib = 200;
const touch = `exec perl -e '$held .= "x" x (1 << 20) for 1 .. ${touchedMib}; sleep 1000000'`;
const counting = 'i=0; while true; do i=$((i+1)); echo $i >> count; sleep 0.2; done';

interface Paused {
  readonly id: string;
  readonly word: string;
  readonly touches: boolean;
  readonly count: number | undefined;
}

describe(`${each * runtimes.length} paused sandboxes`, { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  async function countOf(sbx: Sandbox): Promise<number> {
    return Number((await sbx.exec('tail -n 1 count')).stdout);
  }

  /** What the program that touches memory has resident. */
  async function heldMib(sbx: Sandbox): Promise<number> {
    const look = "awk '/VmRSS/ { print $2 }' /proc/$(pgrep -x perl)/status";
    return Number((await sbx.exec(look)).stdout) / 1024;
  }

  async function pauseOne(runtime: string, number: number): Promise<Paused> {
    const sbx = await Sandbox.create({
      ...{ url: server.url, apiKey: server.apiKey, runtime },
      timeoutMs: 3_600_000,
    });
    const word = `${runtime} ${number}`;
    await sbx.files.write('kept', word);
    const touches = number < touching;
    if (touches) {
      await (await sbx.spawn(touch)).detach();
      while ((await heldMib(sbx)) < touchedMib) await sleep(500);
    }
    let count: number | undefined;
    if (number >= each - countingOnes) {
      await (await sbx.spawn(counting)).detach();
      await sleep(1000);
      count = await countOf(sbx);
    }
    assert.equal((await sbx.pause()).state, 'paused');
    return { id: sbx.id, word, touches, count };
  }

  async function check(paused: Paused): Promise<void> {
    const sbx = await Sandbox.connect(paused.id, { url: server.url, apiKey: server.apiKey });
    assert.equal((await sbx.resume()).state, 'running');
    assert.equal(await sbx.files.read('kept'), paused.word);
    if (paused.touches) {
      const held = await heldMib(sbx);
      assert.ok(held >= touchedMib, `${paused.word}: ${held} MiB are held`);
    }
    if (paused.count !== undefined) {
      const first = await countOf(sbx);
      await sleep(1000);
      assert.ok(first >= paused.count && (await countOf(sbx)) > first, `${paused.word} counts on`);
    }
    await sbx.kill();
  }

  it('cost no process and no memory, and resume with files and programs after a restart', async (test) => {
    const all = await Promise.all(
      runtimes.map(async (runtime) => {
        const done: Paused[] = [];
        for (let number = 0; number < each; number += 1) done.push(await pauseOne(runtime, number));
        return done;
      }),
    );
    assert.equal(tracesOf(server.dataDir).processes, 0);
    const folder = join(server.dataDir, 'snapshots');
    test.diagnostic(
      `on disk: ${execFileSync('du', ['-sm', folder], { encoding: 'utf8' }).split('\t')[0]} MiB`,
    );
    await stopProcess(server.process);
    server = await startServer({ dataDir: server.dataDir });
    await Promise.all(
      all.map(async (ofOne) => {
        for (const paused of ofOne) await check(paused);
      }),
    );
  });
});
