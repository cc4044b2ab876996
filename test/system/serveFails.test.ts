/** A server that cannot start says why, and leaves nothing of what it had begun. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CommandError, runCommand } from '../../src/base/child.ts';
import { tracesOf } from './host.ts';
import { missingForServer } from './server.ts';

const cli = fileURLToPath(new URL('../../src/cli/casemate.mjs', import.meta.url));

describe('a server that cannot start', { skip: missingForServer() ?? false }, () => {
  const folders: string[] = [];
  after(() => {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
  const newFolder = (): string => {
    const folder = mkdtempSync(join(tmpdir(), 'casemate-test-'));
    folders.push(folder);
    return folder;
  };

  /** What it says on its way out. */
  async function wordsOf(dataDir: string): Promise<string> {
    const argv = [process.execPath, cli, 'serve', '--port', '0', '--data-dir', dataDir];
    try {
      await runCommand(argv, { timeoutMs: 60_000 });
    } catch (error) {
      assert.ok(error instanceof CommandError);
      return error.stderrTail;
    }
    return assert.fail('it has started');
  }

  it('names the folder that its own user cannot get through', async () => {
    const folder = newFolder(); // made for root alone
    const words = await wordsOf(join(folder, 'data'));
    assert.ok(words.includes(`cannot get through ${folder}.`), words);
  });

  it('takes back what was staged when its egress proxy does not start', async () => {
    const folder = newFolder();
    chmodSync(folder, 0o711);
    const dataDir = join(folder, 'data');
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, 'egress'), 'in the way'); // a folder belongs here
    assert.match(await wordsOf(dataDir), /egress proxy does not start/);
    assert.deepEqual(Object.values(tracesOf(dataDir)), [0, 0, 0, 0, 0, 0]);
    const tag = readFileSync(join(dataDir, 'instance'), 'utf8').trim();
    assert.deepEqual(
      readdirSync('/run/netns').filter((name) => name.includes(tag)),
      [],
    );
  });
});
