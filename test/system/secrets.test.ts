/** Secrets through the whole product: used by sandboxes that never hold them, and found nowhere but at their hosts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type EgressPolicy, Sandbox } from '../../sdk/typescript/src/index.ts';
import { type Arrived, Outside } from './secrets/outside.ts';
import { missingForServer, startServer, stopProcess, type TestServer } from './server.ts';

const vault = 'vault.casemate.test';
const other = 'other.casemate.test';
const canary = (): string => `canary${randomBytes(16).toString('hex')}`;
const scanner = fileURLToPath(new URL('./secrets/scan.py', import.meta.url));

interface Scan {
  readonly found: Readonly<Record<string, readonly string[]>>;
  readonly read: { readonly files: number; readonly bytes: number; readonly memoryBytes: number };
}

function scan(job: object): Scan {
  const ran = spawnSync('python3', [scanner], { input: JSON.stringify(job), encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
  return JSON.parse(ran.stdout) as Scan;
}

/** Processes whose arguments or control group hold a text. */
function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return ['cmdline', 'cgroup'].some((file) => readFileSync(`/proc/${pid}/${file}`).includes(text));
      } catch {
        return false; // it has ended
      }
    })
    .map(Number);
}

describe('secrets', { skip: missingForServer() ?? false }, () => {
  let outside: Outside;
  let server: TestServer;
  const logFolder = mkdtempSync(join(tmpdir(), 'casemate-secrets-'));
  const logFile = join(logFolder, 'server.log');
  const log = openSync(logFile, 'a');
  before(async () => {
    outside = new Outside([vault, other]);
    await outside.ready();
    server = await startServer({
      launcher: outside.launcher,
      env: { NODE_EXTRA_CA_CERTS: outside.certificate },
      log,
    });
  });
  after(async () => {
    await server?.close().finally(() => outside?.close());
    closeSync(log);
    rmSync(logFolder, { recursive: true });
  });

  const open = (...rules: NonNullable<EgressPolicy['allow']>): EgressPolicy => ({
    allow: [...rules, ...[vault, other].map((host) => ({ host, inspect: true, allowPrivate: true }))],
  });
  const create = (secrets: readonly string[], policy = open()): Promise<Sandbox> =>
    Sandbox.create({ url: server.url, apiKey: server.apiKey, timeoutMs: 600_000, secrets, policy });
  const shell = async (sbx: Sandbox, command: string): Promise<string> => {
    const { stdout, stderr, exitCode } = await sbx.exec(command);
    assert.equal(exitCode, 0, stderr + stdout);
    return stdout;
  };
  const arrivedAt = (path: string): Arrived[] => outside.arrived.filter(({ url }) => url.startsWith(path));

  it('are set and never read back, and another tenant has none of them', async () => {
    const { secrets } = server.client;
    const value = canary();
    const made = await secrets.set('write-only', { value, hosts: ['API.Example.com.'], env: 'SOME_KEY' });
    assert.deepEqual(
      [made.version, made.hosts, made.env],
      [1, ['api.example.com'], 'SOME_KEY'],
      JSON.stringify(made),
    );
    const again = await secrets.set('write-only', { value: canary(), hosts: ['*.example.com'] });
    assert.deepEqual([again.version, again.env], [2, 'SOME_KEY']);
    assert.deepEqual(await secrets.get('write-only'), again);
    assert.ok((await secrets.list()).some(({ name }) => name === 'write-only'));
    const { key } = await server.client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
    const { Casemate } = await import('../../sdk/typescript/src/index.ts');
    const stranger = new Casemate({ url: server.url, apiKey: key });
    await assert.rejects(stranger.secrets.get('write-only'), { code: 'not_found' });
    assert.deepEqual(await stranger.secrets.list(), []);
    await assert.rejects(Sandbox.create({ url: server.url, apiKey: key, secrets: ['write-only'] }), {
      code: 'not_found',
    });
    await assert.rejects(secrets.set('write-only', { value, hosts: ['*'] }), (error: Error) => {
      assert.ok(!error.message.includes(value));
      return true;
    });
    await secrets.remove('write-only');
    await assert.rejects(secrets.get('write-only'), { code: 'not_found' });
  });

  it('reach their hosts alone, and say why not elsewhere; a new value reaches running sandboxes', async () => {
    const { secrets } = server.client;
    const [first, second] = [canary(), canary()];
    await secrets.set('moving', { value: first, hosts: [vault] });
    const sbx = await create(['moving']);
    assert.deepEqual((await sbx.info()).secrets, ['moving']);
    const bearer = `-H "Authorization: Bearer $MOVING"`;
    const status = (way: string): Promise<string> => shell(sbx, `curl -s -m 10 ${way}`);
    assert.equal(await status(`${bearer} https://${vault}/moving/1`), 'served\n');
    assert.equal(arrivedAt('/moving/1')[0]?.headers.authorization, `Bearer ${first}`);
    for (const way of [
      `${bearer} https://${other}/no`,
      `${bearer} http://${vault}/no`,
      `-d "key=$MOVING" https://${other}/no`,
      `-d "key=$MOVING" http://${vault}/no`,
      `-H 'Content-Encoding: gzip' --data-binary @/tmp/packed https://${vault}/no`,
    ]) {
      await sbx.exec('printf %s "$MOVING" | gzip > /tmp/packed');
      const refused = JSON.parse(await status(way)) as { code: string; hint: string };
      assert.equal(refused.code, 'secret_refused', way);
      assert.match(refused.hint, /moving/, way);
    }
    assert.equal(arrivedAt('/no').length, 0);
    await secrets.set('moving', { value: second, hosts: [vault] });
    assert.equal(await status(`-d "$MOVING" https://${vault}/moving/2`), 'served\n');
    assert.equal(arrivedAt('/moving/2')[0]?.body, second);
    await secrets.remove('moving');
    const gone = JSON.parse(await status(`${bearer} https://${vault}/moving/3`)) as { hint: string };
    assert.match(gone.hint, /removed/);
    await sbx.kill();
  });

  it('canary: 5 secrets used 100 times by 3 sandboxes are nowhere but at their host', async () => {
    const kinds = ['bearer', 'basic', 'query', 'body', 'unseen'] as const;
    const values = Object.fromEntries(kinds.map((kind) => [kind, canary()])) as Record<
      (typeof kinds)[number],
      string
    >;
    for (const kind of kinds) {
      await server.client.secrets.set(`c-${kind}`, { value: values[kind], hosts: [vault] });
    }
    const seen = kinds.filter((kind) => kind !== 'unseen').map((kind) => `c-${kind}`);
    const rule = {
      host: vault,
      allowPrivate: true,
      paths: ['/unseen'],
      headers: [{ name: 'X-Unseen', value: 'Key {{secret:c-unseen}}' }],
    };
    const sandboxes = await Promise.all([1, 2, 3].map(() => create(seen, open(rule))));
    const ways: Record<(typeof kinds)[number], string> = {
      bearer: `-H "Authorization: Bearer $C_BEARER" https://${vault}/bearer`,
      basic: `-u "me:$C_BASIC" https://${vault}/basic`,
      query: `"https://${vault}/query?key=$C_QUERY"`,
      body: `-d "{\\"key\\":\\"$C_BODY\\"}" -H 'Content-Type: application/json' https://${vault}/body`,
      unseen: `https://${vault}/unseen`,
    };
    // 7 rounds of 5 in two sandboxes, 6 in the third: 100 uses. Something that holds a placeholder goes on running.
    await Promise.all(
      sandboxes.map(async (sbx, at) => {
        const round = kinds.map((kind) => `curl -sS -m 20 ${ways[kind]}`).join(' && ');
        await sbx.exec('nohup sh -c "export HELD=$C_BEARER; exec sleep 600" >/dev/null 2>&1 &');
        await sbx.exec('printf %s "$C_BODY" > ~/noted');
        const rounds = at === 2 ? '1 2 3 4 5 6' : '1 2 3 4 5 6 7';
        assert.equal(
          await shell(sbx, `for n in ${rounds}; do ${round} || exit 1; done`),
          'served\n'.repeat(at === 2 ? 30 : 35),
        );
      }),
    );
    const used: Record<(typeof kinds)[number], (arrived: Arrived) => boolean> = {
      bearer: ({ headers }) => headers.authorization === `Bearer ${values.bearer}`,
      basic: ({ headers }) =>
        headers.authorization === `Basic ${Buffer.from(`me:${values.basic}`).toString('base64')}`,
      query: ({ url }) => url === `/query?key=${values.query}`,
      body: ({ body }) => body === JSON.stringify({ key: values.body }),
      unseen: ({ headers }) => headers['x-unseen'] === `Key ${values.unseen}`,
    };
    const counts = kinds.map((kind) => outside.arrived.filter(used[kind]).length);
    assert.deepEqual(counts, [20, 20, 20, 20, 20], 'the positive control: the host got each value');

    const [first, second, third] = sandboxes;
    assert.ok(first && second && third);
    await first.snapshot({ name: 'canary' });
    const [child] = await second.fork(1);
    assert.ok(child instanceof Sandbox);
    assert.equal(await shell(child, `curl -sS -m 20 ${ways.bearer}`), 'served\n');
    assert.equal(outside.arrived.filter(used.bearer).length, 21, 'a fork goes on using what it was given');
    await third.pause();

    const placeholder = (await shell(first, 'printf %s "$C_BEARER"')).trim();
    assert.match(placeholder, /^casemate-secret-[0-9a-f]{32}$/);
    const held = Object.fromEntries(
      kinds.flatMap((kind) => [
        [kind, values[kind]],
        [`${kind} in base64`, Buffer.from(`me:${values[kind]}`).toString('base64')],
      ]),
    );
    const inside = await shell(
      first,
      'env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; cat ~/noted; grep -rl canary /home /tmp /etc /var || true',
    );
    for (const value of Object.values(held)) assert.ok(!inside.includes(value));
    assert.ok(inside.includes(placeholder));

    const running = [first, second, child].flatMap(({ id }) => processesWith(id));
    const servers = processesWith(server.dataDir).filter((pid) => !running.includes(pid));
    assert.ok(running.length >= 3 && servers.length >= 2, `${running} ${servers}`);
    // The server and the proxy hold values in memory, because they send them; nothing else does.
    const { found, read } = scan({
      needles: { ...held, placeholder },
      paths: [server.dataDir, logFile],
      pids: [...running, ...servers],
      withMemory: [...running, server.process.pid],
    });
    const audit = JSON.stringify(await server.client.audit.list({ limit: 10_000 }));
    const { placeholder: controls = [], ...values2 } = found;
    for (const [name, places] of Object.entries(values2)) assert.deepEqual(places, [], name);
    for (const value of Object.values(held)) assert.ok(!audit.includes(value));
    assert.ok(audit.includes('secret.set') && audit.includes('/bearer'));
    assert.ok(
      controls.some((place) => place.includes('/snapshots/')),
      controls.join('\n'),
    );
    assert.ok(
      controls.some((place) => /mem/.test(place)),
      controls.join('\n'),
    );
    assert.ok(read.memoryBytes > 10_000_000 && read.files > 10, JSON.stringify(read));
    for (const sbx of [first, second, third, child]) await sbx.kill();
    await server.client.snapshots.remove('canary');
  });

  it('are sealed in the database: with another key nothing opens, and nothing starts without them', async () => {
    const value = canary();
    const options = { dataDir: mkdtempSync(join(tmpdir(), 'casemate-test-')), log };
    let sealed = await startServer(options);
    try {
      await sealed.client.secrets.set('sealed', { value, hosts: [vault] });
      await stopProcess(sealed.process);
      rmSync(join(sealed.dataDir, 'server', 'secrets.key'));
      sealed = await startServer(options);
      const attempt = { url: sealed.url, apiKey: sealed.apiKey, secrets: ['sealed'] };
      await assert.rejects(Sandbox.create(attempt), { code: 'secret_unreadable' });
      assert.equal((await sealed.client.secrets.get('sealed')).version, 1);
      assert.deepEqual(scan({ needles: { value }, paths: [sealed.dataDir, logFile] }).found.value, []);
      await sealed.client.secrets.set('sealed', { value, hosts: [vault] });
      const sbx = await Sandbox.create(attempt);
      await sbx.kill();
    } finally {
      await sealed.close();
    }
  });
});
