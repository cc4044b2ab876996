/** A 1 GiB image of 100,000 files: unpacked beside `umoci unpack` on the same machine, and one copy on disk for 20 sandboxes. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runCommand } from '../../src/base/child.ts';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { missingForRegistry } from '../system/registry.ts';
import { missingForServer, startServer } from '../system/server.ts';

const skip = missingForServer() ?? missingForRegistry() ?? false;
/** Smaller ones for a first look: `CASEMATE_TEST_IMAGE_FILES=20000`. */
const files = Number(process.env.CASEMATE_TEST_IMAGE_FILES ?? 100_000);
const fileBytes = 10_737; // 1 GiB in all
const filesAFolder = 500;
const sandboxes = 20;

describe('a big image', { skip }, () => {
  it(`of ${files} files is unpacked within twice the time of umoci unpack, and shared by ${sandboxes} sandboxes`, async (test) => {
    const folder = await mkdtemp(join(tmpdir(), 'casemate-big-'));
    const server = await startServer();
    try {
      const layout = join(folder, 'layout');
      await makeLayout(folder, layout);
      const peer = await timed(() =>
        runCommand(['umoci', 'unpack', '--image', `${layout}:big`, join(folder, 'bundle')], {
          timeoutMs: 600_000,
        }),
      );
      await rm(join(folder, 'bundle'), { recursive: true });
      let unpackingMs = 0;
      let unpackedMs = 0;
      const from = performance.now();
      await server.client.templates.buildFrom(
        'big',
        { layout },
        {
          onLog: ({ text }) => {
            if (text === 'unpacking the image') unpackingMs = performance.now();
            if (text.startsWith('make it a template')) unpackedMs = performance.now();
          },
        },
      );
      const whole = performance.now() - from;
      const own = unpackedMs - unpackingMs;
      test.diagnostic(
        `umoci unpack ${Math.round(peer)} ms; unpacked here in ${Math.round(own)} ms; upload to template ${Math.round(whole)} ms`,
      );
      assert.ok(whole < peer * 2, `${whole} ms against ${peer} ms`);
      const before = await bytesOf(join(server.dataDir, 'layers'));
      const made: Sandbox[] = [];
      for (let number = 0; number < sandboxes; number += 1)
        made.push(
          await Sandbox.create({
            url: server.url,
            apiKey: server.apiKey,
            template: 'big',
            limits: { memoryMib: 128, diskMib: 64 },
          }),
        );
      const grown = (await bytesOf(join(server.dataDir, 'layers'))) - before;
      const own20 = await bytesOf(join(server.dataDir, 'sandboxes'));
      test.diagnostic(
        `20 sandboxes: ${grown} bytes more of layers, ${Math.round(own20 / 1_048_576)} MiB of their own`,
      );
      assert.equal(grown, 0);
      assert.ok(own20 < (files * fileBytes) / 2, `${own20} bytes`);
    } finally {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

async function makeLayout(folder: string, layout: string): Promise<void> {
  const root = join(folder, 'root');
  // Half of it repeats, as programs and texts do; the rest does not.
  const noise = randomBytes(fileBytes + filesAFolder);
  for (let index = 0; index < files; index += 1) {
    const directory = join(root, `d${Math.floor(index / filesAFolder)}`);
    if (index % filesAFolder === 0) mkdirSync(directory, { recursive: true });
    const content = Buffer.alloc(fileBytes, String(index));
    noise.copy(content, 0, index % filesAFolder, (index % filesAFolder) + fileBytes / 2);
    writeFileSync(join(directory, `f${index}`), content);
  }
  const tar = join(folder, 'layer.tar');
  await runCommand(['tar', '-C', root, '--numeric-owner', '-cf', tar, '.'], { timeoutMs: 300_000 });
  await rm(root, { recursive: true });
  await runCommand(['umoci', 'init', '--layout', layout]);
  await runCommand(['umoci', 'new', '--image', `${layout}:big`]);
  await runCommand(['umoci', 'raw', 'add-layer', '--image', `${layout}:big`, tar], { timeoutMs: 600_000 });
  await rm(tar);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now();
  await work();
  return performance.now() - from;
}

/** Bytes that a folder takes on the disk, mounts left out. */
async function bytesOf(folder: string): Promise<number> {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.img'))
    .reduce((sum, name) => sum + statSync(join(folder, name)).blocks * 512, 0);
}
