/** Calls each public method of E2B's JavaScript SDKs once, and holds the table in docs/e2b.md to what became of it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ConnectionOpts, Sandbox } from 'e2b';
import { clientCalls } from './e2b/client.ts';
import { allCalled, type Column, holdBlock, publicCalls, Recorder, table, versionOf } from './e2b/surface.ts';
import { templateCalls } from './e2b/templates.ts';
import { missingForRegistry, smallRoot, startRegistry, type TestRegistry } from './registry.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

type Sdk = Omit<typeof import('e2b'), 'default'>;

const skip = missingForServer() ?? missingForRegistry() ?? false;

describe('every public call of E2B’s JavaScript SDKs', { skip }, () => {
  let registry: TestRegistry;
  let server: TestServer;
  let options: ConnectionOpts & { timeoutMs: number };
  before(async () => {
    registry = await startRegistry({ 'small:1': { template: 'base', only: smallRoot } });
    server = await startServer({ flags: ['--registry', registry.flag] });
    process.env.E2B_VOLUME_API_URL = server.url;
    process.env.E2B_API_URL = server.url; // templates of a year ago take it from nowhere else
    options = {
      apiUrl: server.url,
      sandboxUrl: server.url,
      apiKey: server.apiKey.replace('casemate_', 'e2b_'),
      timeoutMs: 300_000,
    };
  });
  after(async () => {
    await server?.close();
    await registry?.close();
  });

  it('ends as docs/e2b.md says', async () => {
    const columns: Column[] = [];
    for (const name of ['e2b', 'e2b-a-year-ago']) {
      const sdk = (await import(name)) as Sdk;
      const recorder = await tour(sdk, options);
      columns.push({
        title: versionOf(name),
        outcomes: allCalled(publicCalls(name), recorder.outcomes),
      });
    }
    holdBlock('calls of JavaScript', table(columns));
  });
});

async function tour(sdk: Sdk, options: ConnectionOpts & { timeoutMs: number }): Promise<Recorder> {
  const recorder = new Recorder();
  const { Sandbox } = sdk;
  recorder.watch(Object.getPrototypeOf(Sandbox) as object, 'Sandbox');
  recorder.watch(Sandbox, 'Sandbox');
  recorder.watch(Sandbox.prototype, 'sandbox');
  const sandbox = await Sandbox.create(options);
  for (const [part, shown] of [
    [sandbox.commands, 'commands'],
    [sandbox.files, 'files'],
    [sandbox.pty, 'pty'],
    [sandbox.git, 'git'],
  ] as const) {
    if (part !== undefined) recorder.watch(Object.getPrototypeOf(part) as object, shown);
  }
  await commands(sandbox, recorder);
  await files(sandbox, recorder);
  await terminals(sandbox);
  await functions(sdk, sandbox, recorder);
  if (sandbox.git !== undefined) await git(sandbox);
  await templateCalls(sdk, options, recorder);
  await life(sdk, sandbox, options, recorder);
  await others(sdk, options, recorder);
  return recorder;
}

/** What fails is noted by the recorder, and is the table's to say. */
export async function tried(work: () => Promise<unknown> | undefined): Promise<void> {
  await Promise.resolve()
    .then(work)
    .catch(() => {});
}

async function commands(sandbox: Sandbox, recorder: Recorder): Promise<void> {
  const cat = await sandbox.commands.run('cat', { background: true, stdin: true });
  recorder.watch(Object.getPrototypeOf(cat) as object, 'CommandHandle');
  await sandbox.commands.list();
  await sandbox.commands.sendStdin(cat.pid, 'one\n');
  await tried(() => cat.sendStdin?.('two\n'));
  await tried(() => sandbox.commands.closeStdin?.(cat.pid));
  await tried(() => cat.closeStdin?.());
  const again = await sandbox.commands.connect(cat.pid);
  await again.disconnect();
  await sandbox.commands.kill(cat.pid);
  const other = await sandbox.commands.run('sleep 60', { background: true });
  await other.kill();
  const short = await sandbox.commands.run('true', { background: true });
  await short.wait();
  const filter = await sandbox.commands.run('cat', { background: true, stdin: true });
  await tried(() => filter.closeStdin?.());
  await filter.kill();
}

async function files({ files }: Sandbox, recorder: Recorder): Promise<void> {
  await files.write('a', 'words');
  await tried(() => files.writeFiles?.([{ path: 'b', data: 'words' }]));
  await files.read('a');
  await files.list('.');
  await files.makeDir('d');
  const handle = await files.watchDir('d', () => {});
  recorder.watch(Object.getPrototypeOf(handle) as object, 'WatchHandle');
  await handle.stop();
  await files.rename('a', 'd/a');
  await files.exists('d/a');
  await files.getInfo('d/a');
  await files.remove('d');
}

async function terminals({ pty }: Sandbox): Promise<void> {
  const { pid } = await pty.create({ cols: 80, rows: 24, onData: () => {} });
  await pty.sendInput(pid, new TextEncoder().encode('true\n'));
  await pty.resize(pid, { cols: 90, rows: 30 });
  await tried(() => pty.connect?.(pid, { onData: () => {} }));
  await pty.kill(pid);
}

async function git(sandbox: Sandbox): Promise<void> {
  const { git } = sandbox;
  const [path, remote] = ['/home/user/repository', '/home/user/remote.git'];
  await git.init(remote, { bare: true, initialBranch: 'main' });
  await git.configureUser('Ada', 'ada@example.com');
  await git.init(path, { initialBranch: 'main' });
  await git.remoteAdd(path, 'origin', `file://${remote}`);
  await git.remoteGet(path, 'origin');
  await sandbox.files.write(`${path}/a`, 'a');
  await git.add(path);
  await git.commit(path, 'first');
  await git.push(path, { remote: 'origin', branch: 'main', setUpstream: true });
  await git.pull(path);
  await git.clone(`file://${remote}`, { path: '/home/user/clone' });
  await git.createBranch(path, 'next');
  await git.checkoutBranch(path, 'main');
  await git.branches(path);
  await git.deleteBranch(path, 'next');
  await sandbox.files.write(`${path}/a`, 'b');
  await git.restore(path, { paths: ['a'] });
  await git.reset(path, { mode: 'hard' });
  await git.status(path);
  await git.setConfig('pull.rebase', 'false');
  await git.getConfig('pull.rebase');
  await git.dangerouslyAuthenticate({ username: 'ada', password: 'secret', host: 'git.example.com' });
}

async function life(
  { Sandbox }: Sdk,
  sandbox: Sandbox,
  options: ConnectionOpts & { timeoutMs: number },
  recorder: Recorder,
): Promise<void> {
  const { sandboxId: id } = sandbox;
  sandbox.getHost(80);
  await sandbox.isRunning();
  await sandbox.uploadUrl('x');
  await sandbox.downloadUrl('x');
  await sandbox.getInfo();
  await sandbox.getMetrics();
  await sandbox.setTimeout(200_000);
  await Sandbox.getInfo(id, options);
  await Sandbox.getFullInfo(id, options);
  await Sandbox.getMetrics(id, options);
  await Sandbox.setTimeout(id, 200_000, options);
  await tried(() => sandbox.updateNetwork?.({ allowInternetAccess: false }));
  await tried(() => Sandbox.updateNetwork?.(id, { allowInternetAccess: false }, options));
  for (const call of ['getMcpUrl', 'getMcpToken'] as const) await tried(async () => sandbox[call]());
  await nextItems(Sandbox.list(options), 'SandboxPaginator', recorder);
  await pauses({ Sandbox } as Sdk, sandbox, options);
  await tried(async () => {
    const children = [...(await sandbox.fork({ count: 1 })), ...(await Sandbox.fork(id, options))];
    for (const child of children) if (child instanceof Sandbox) await child.kill();
    const { snapshotId } = await sandbox.createSnapshot();
    await nextItems(sandbox.listSnapshots(), 'SnapshotPaginator', recorder);
    await nextItems(Sandbox.listSnapshots(options), 'SnapshotPaginator', recorder);
    await Sandbox.deleteSnapshot(snapshotId, options);
    await Sandbox.deleteSnapshot((await Sandbox.createSnapshot(id, options)).snapshotId, options);
  });
  const beta = Sandbox as unknown as { betaCreate?: (options: object) => Promise<Sandbox> };
  if (beta.betaCreate !== undefined) await Sandbox.kill((await beta.betaCreate(options)).sandboxId, options);
  else await Sandbox.kill((await Sandbox.create(options)).sandboxId, options);
  await sandbox.kill();
}

async function nextItems(
  pages: { nextItems(): Promise<unknown[]> },
  shown: string,
  recorder: Recorder,
): Promise<void> {
  recorder.watch(Object.getPrototypeOf(pages) as object, shown);
  await tried(() => pages.nextItems());
}

async function pauses({ Sandbox }: Sdk, sandbox: Sandbox, options: ConnectionOpts): Promise<void> {
  const { sandboxId: id } = sandbox;
  await tried(() => sandbox.pause?.());
  await sandbox.connect(options);
  await tried(() => Sandbox.pause?.(id, options));
  await Sandbox.connect(id, options);
  await tried(() => sandbox.betaPause(options));
  await Sandbox.connect(id, options);
  await tried(() => Sandbox.betaPause(id, options));
  await Sandbox.connect(id, options);
}

async function others(sdk: Sdk, options: ConnectionOpts, recorder: Recorder): Promise<void> {
  const { Volume, Secret } = sdk;
  if (Volume !== undefined) {
    recorder.watch(Volume, 'Volume');
    recorder.watch(Volume.prototype, 'volume');
    await tried(async () => {
      const { volumeId } = await Volume.create('volume', options);
      const volume = await Volume.connect(volumeId, options);
      await volume.makeDir('folder');
      await volume.writeFile('folder/a', 'words');
      await volume.readFile('folder/a');
      await volume.getInfo('folder/a');
      await volume.exists('folder/a');
      await volume.updateMetadata('folder/a', { mode: 0o600 });
      await volume.list('folder');
      await volume.remove('folder');
      await Volume.getInfo(volumeId, options);
      await Volume.list(options);
      await Volume.destroy(volumeId, options);
    });
  }
  if (Secret !== undefined) await secrets(sdk, options, recorder);
  await clientCalls(sdk, options, recorder);
}

async function secrets({ Secret }: Sdk, options: ConnectionOpts, recorder: Recorder): Promise<void> {
  recorder.watch(Secret, 'Secret');
  await tried(() => Secret.create('SECRET', 'value', options));
  await tried(() => Secret.update('SECRET', 'value', options));
  await tried(() => Secret.getInfo('SECRET', options));
  await nextItems(Secret.list(options), 'SecretPaginator', recorder);
  await tried(() => Secret.exists('SECRET', options));
  await tried(() => Secret.destroy('SECRET', options));
  Secret.fill('SECRET');
  await tried(async () => Secret.iamToken({ audience: 'a' } as Parameters<typeof Secret.iamToken>[0]));
}

/** Functions that stand by themselves: what a ready command says is run in the sandbox; builds wait for the others. */
async function functions(sdk: Sdk, sandbox: Sandbox, recorder: Recorder): Promise<void> {
  recorder.watch(sdk.ReadyCmd.prototype, 'ReadyCmd');
  await sandbox.commands.run('sleep 60', { background: true });
  const commands: Record<string, { getCmd(): string }> = {
    waitForProcess: sdk.waitForProcess('sleep'),
    waitForFile: sdk.waitForFile('/etc/passwd'),
    waitForTimeout: sdk.waitForTimeout(1000),
  };
  for (const [name, ready] of Object.entries(commands)) {
    await recorder.note([`functions.${name}`], () => sandbox.commands.run(ready.getCmd()));
  }
  await recorder.note(['functions.getSignature'], async () => {
    const { envdAccessToken } = sandbox as unknown as { envdAccessToken: string };
    const signed = await sdk.getSignature({
      ...{ path: '/etc/hostname', operation: 'read', user: 'user', expirationInSeconds: 60 },
      envdAccessToken,
    });
    const url = new URL(await sandbox.downloadUrl('/etc/hostname', { user: 'user' }));
    url.searchParams.set('signature', signed.signature);
    url.searchParams.set('signature_expiration', String(signed.expiration));
    assert.equal((await fetch(url)).status, 200);
  });
}
