/** Builds that are killed: nothing of them is left, and what served before serves on. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { missingForRegistry, smallRoot, startRegistry } from '../system/registry.ts';
import { tracesOf } from '../system/host.ts';
import { missingForServer, needTemplates, startServer, type TestServer } from '../system/server.ts';

const skip = missingForServer() ?? missingForRegistry() ?? false;
const rounds = 6;

describe('a build that is killed', { skip }, () => {
  it(`leaves nothing, ${rounds} times at other moments, and the version before serves`, async () => {
    const registry = await startRegistry({ 'small:1': { template: 'base', only: smallRoot } });
    const flags = ['--registry', registry.flag];
    let server = await startServer({ flags });
    try {
      await needTemplates(server, ['base']);
      await server.client.templates.buildFrom('kept', {
        dockerfile: 'FROM template://base\nRUN echo kept > /which\n',
      });
      for (let round = 0; round < rounds; round += 1) {
        const dockerfile = `FROM small:1\nRUN echo ${round} > /a\nFROM template://base\nCOPY --from=0 /a /a\nRUN echo ${round} > /which; sleep ${round % 2}\nRUN sleep 30\n`;
        const build = server.client.templates.buildFrom('kept', { dockerfile }).catch(() => {});
        await sleep(300 + round * 500);
        process.kill(-Number(server.process.pid), 'SIGKILL');
        await build;
        server = await restart(server, flags);
        await noTraces(server.dataDir);
        const { versions } = await server.client.templates.get('kept');
        assert.ok(versions.every(({ state }) => state !== 'building'));
        await using sandbox = await Sandbox.create({
          url: server.url,
          apiKey: server.apiKey,
          template: 'kept',
        });
        assert.equal((await sandbox.exec('cat /which')).stdout, 'kept\n');
      }
    } finally {
      await server.close();
      await registry.close();
    }
  });
});

function restart(server: TestServer, flags: readonly string[]): Promise<TestServer> {
  return startServer({ dataDir: server.dataDir, port: Number(new URL(server.url).port), flags });
}

/** Slots that are made ahead are no leftovers: they have a journal entry, and no processes. */
async function noTraces(dataDir: string): Promise<void> {
  const leftovers = (): string[] => {
    const halfMade = readdirSync(join(dataDir, 'layers/store')).filter((name) => name.endsWith('.partial'));
    const contexts = readdirSync(join(dataDir, 'contexts')).filter((name) => name !== 'blobs');
    const caches = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${dataDir}/caches`));
    const { processes } = tracesOf(dataDir);
    const journal = existsSync(join(dataDir, 'journal')) ? readdirSync(join(dataDir, 'journal')) : [];
    const folders = readdirSync(join(dataDir, 'sandboxes')).filter((id) => !journal.includes(`${id}.json`));
    return [
      ...halfMade,
      ...contexts,
      ...caches,
      ...folders,
      ...(processes === 0 ? [] : [`${processes} processes`]),
    ];
  };
  for (let tries = 0; tries < 50 && leftovers().length > 0; tries += 1) await sleep(200);
  assert.deepEqual(leftovers(), []);
}
