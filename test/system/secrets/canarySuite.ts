/** The canary test: secrets that three sandboxes use a hundred times are nowhere but at their host. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type EgressPolicy, Sandbox } from '../../../sdk/typescript/src/index.ts';
import { missingForServer, startServer, type TestServer } from '../server.ts';
import { type Arrived, Outside } from './outside.ts';
import { canary, processesWith, scan } from './scan.ts';

const vault = 'vault.casemate.test';

export function canarySuite(runtime: string): void {
  describe(`secrets on ${runtime}`, { skip: missingForServer() ?? false }, () => {
    let outside: Outside;
    let server: TestServer;
    const logFolder = mkdtempSync(join(tmpdir(), 'casemate-canary-'));
    const logFile = join(logFolder, 'server.log');
    const log = openSync(logFile, 'a');
    before(async () => {
      outside = new Outside([vault]);
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

    const create = (secrets: readonly string[], policy: EgressPolicy): Promise<Sandbox> =>
      Sandbox.create({
        url: server.url,
        apiKey: server.apiKey,
        runtime,
        timeoutMs: 900_000,
        secrets,
        policy,
      });
    const shell = async (sbx: Sandbox, command: string): Promise<string> => {
      const { stdout, stderr, exitCode } = await sbx.exec(command, { timeoutMs: 600_000 });
      assert.equal(exitCode, 0, stderr + stdout);
      return stdout;
    };

    it('canary: 5 secrets used 100 times by 3 sandboxes are nowhere but at their host', async (test) => {
      const known = (await server.client.runtimes.list()).find(({ name }) => name === runtime);
      if (known?.available !== true) return test.skip(`the runtime ${runtime} cannot run here`);
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
      const policy = { allow: [rule, { host: vault, inspect: true, allowPrivate: true }] };
      const sandboxes = await Promise.all([1, 2, 3].map(() => create(seen, policy)));
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
  });
}
