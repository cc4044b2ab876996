/** Builds during which the server, the service or the runtimes are killed: nothing is left, and what served before serves on. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { missingForRegistry, smallRoot, startRegistry } from '../system/registry.ts';
import { processesNaming, serverPid, tracesOf } from '../system/host.ts';
import {
  missingForServer,
  needTemplates,
  startServer,
  stopProcess,
  type TestServer,
} from '../system/server.ts';

const skip = missingForServer() ?? missingForRegistry() ?? false;
const rounds = 20;
/** Of one round, its kill and its checks: generous, because other things run on the machine. */
const roundMsMax = 90_000;

type Victim = 'everything' | 'the server' | 'the runtimes';
const victims: readonly Victim[] = ['everything', 'the server', 'the runtimes'];

describe('a build during which something is killed', { skip }, () => {
  it(`leaves nothing, ${rounds} times at other moments, and the version before serves`, async (test) => {
    const registry = await startRegistry({ 'small:1': { template: 'base', only: smallRoot } });
    const flags = ['--registry', registry.flag];
    let server = await startServer({ flags });
    try {
      await needTemplates(server, ['base']);
      await server.client.templates.buildFrom('kept', {
        dockerfile: 'FROM template://base\nRUN echo kept > /which\n',
      });
      for (let round = 0; round < rounds; round += 1) {
        const victim = victims[round % victims.length] ?? 'everything';
        await server.client.templates.collect();
        // Every round pulls, unpacks, runs and copies anew, and is killed a little later than the one before.
        const build = server.client.templates.buildFrom(
          'kept',
          { dockerfile: dockerfileOf(round) },
          { noCache: true },
        );
        const failed = build.then(
          () => 'it was built',
          (error: Error) => error.message,
        );
        await sleep(250 + round * 150);
        server = await within(kill(server, victim, flags, failed), `${victim} in round ${round}`);
        test.diagnostic(`${victim}: ${await within(failed, 'the end of the build')}`);
        await within(noTraces(server.dataDir), 'clearing away');
        const { versions } = await server.client.templates.get('kept');
        assert.ok(versions.every(({ state }) => state !== 'building'));
        await within(servesOn(server), 'a sandbox');
      }
      await server.client.templates.collect();
      const layers = readdirSync(join(server.dataDir, 'layers/store'));
      assert.equal(layers.length, 1, 'the one of the version that serves');
      await stopProcess(server.process);
      const left = tracesOf(server.dataDir);
      assert.deepEqual(
        Object.values(left).filter((count) => count > 0),
        [],
        JSON.stringify(left),
      );
      assert.deepEqual(mountsBelow(server.dataDir), []);
      server = await restart(server, flags);
    } finally {
      await server.close();
      await registry.close();
    }
  });
});

/** Its second stage serves nobody: `sleep` gives the kill something that runs. */
function dockerfileOf(round: number): string {
  return [
    'FROM small:1',
    `RUN echo ${round} > /a`,
    'FROM template://base',
    'COPY --from=0 /a /a',
    `RUN echo ${round} > /which; sleep ${round % 2}`,
    'RUN sleep 20',
    '',
  ].join('\n');
}

/** Resolves with a server that answers. */
async function kill(
  server: TestServer,
  victim: Victim,
  flags: readonly string[],
  ended: Promise<unknown>,
): Promise<TestServer> {
  const root = Number(server.process.pid);
  if (victim === 'everything') {
    const gone = new Promise((resolve) => server.process.once('exit', resolve));
    process.kill(-root, 'SIGKILL');
    await gone;
    return restart(server, flags);
  }
  if (victim === 'the server') process.kill(serverPid(root), 'SIGKILL');
  else {
    // Sandboxes of builds, and the tools that fetch and unpack, until one was hit that mattered.
    let isOver = false;
    void ended.then(() => {
      isOver = true;
    });
    await until(() => {
      for (const pid of processesNaming(join(server.dataDir, 'sandboxes'))) endNow(pid);
      return isOver;
    });
  }
  await until(() =>
    server.client.templates.list().then(
      () => true,
      () => false,
    ),
  );
  return server;
}

function endNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
}

async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200 && !(await done()); tries += 1) await sleep(100);
}

function restart(server: TestServer, flags: readonly string[]): Promise<TestServer> {
  return startServer({ dataDir: server.dataDir, port: Number(new URL(server.url).port), flags });
}

async function servesOn({ url, apiKey }: TestServer): Promise<void> {
  await using sandbox = await Sandbox.create({ url, apiKey, template: 'kept' });
  assert.equal((await sandbox.exec('cat /which')).stdout, 'kept\n');
}

function mountsBelow(folder: string): string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  return mounts.filter((line) => line.includes(folder));
}

/** Slots that are made ahead are no leftovers: they have a journal entry, and no processes. */
async function noTraces(dataDir: string): Promise<void> {
  const leftovers = (): string[] => {
    const names = (folder: string): string[] =>
      existsSync(join(dataDir, folder)) ? readdirSync(join(dataDir, folder)) : [];
    const { processes, cgroups, namespaces } = tracesOf(dataDir);
    const journal = names('journal');
    const owned = (id: string): boolean => journal.includes(`${id}.json`);
    return [
      ...names('layers/store').filter((name) => name.endsWith('.partial')),
      ...names('contexts').filter((name) => name !== 'blobs'),
      ...names('sandboxes').filter((id) => !owned(id)),
      ...mountsBelow(`${dataDir}/caches`),
      ...mountsBelow(`${dataDir}/sandboxes`).filter(
        (line) => !journal.some((name) => line.includes(name.slice(0, 20))),
      ),
      ...(processes === 0 ? [] : [`${processes} processes`]),
      ...(cgroups <= journal.length ? [] : [`${cgroups} control groups, ${journal.length} slots`]),
      ...(namespaces <= journal.length ? [] : [`${namespaces} namespaces, ${journal.length} slots`]),
    ];
  };
  await until(() => leftovers().length === 0);
  assert.deepEqual(leftovers(), []);
}

async function within<Result>(work: Promise<Result>, what: string): Promise<Result> {
  const end = new AbortController();
  const late = sleep(roundMsMax, undefined, { signal: end.signal }).then(() => {
    throw new Error(`${what} took longer than ${roundMsMax} ms`);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    end.abort();
    late.catch(() => {});
  }
}
