/** Pause, resume, snapshot, fork: what was there is there again, what has to be another one is, and damage is refused. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError, type CreateOptions, Sandbox } from '../../sdk/typescript/src/index.ts';
import { noTraces, tracesOf } from './host.ts';
import { missingForServer, startServer, stopProcess, type TestServer } from './server.ts';

const counting = 'i=0; while true; do i=$((i+1)); echo $i >> count; sleep 0.05; done';
const lastCount = 'tail -n 1 count';
/** A kernel that makes no uuids itself (gVisor) leaves that to programs, which ask for random bytes. */
const uuid = 'cat /proc/sys/kernel/random/uuid 2>/dev/null || head -c 16 /dev/urandom | md5sum';
/** A TLS server and its client, which verifies the certificate. */
const handshake = `
import socket, ssl, threading
listener = socket.create_server(("127.0.0.1", 0))
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain("pem")
def serve():
    try:
        server.wrap_socket(listener.accept()[0], server_side=True).sendall(b"well")
    except OSError:
        pass
threading.Thread(target=serve, daemon=True).start()
client = ssl.create_default_context(cafile="pem")
with client.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname="localhost") as link:
    print(link.recv(9).decode())
`;
const bootId = 'cat /proc/sys/kernel/random/boot_id 2>/dev/null || head -c 16 /dev/urandom | md5sum';
const identity = `head -c 16 /dev/urandom | base64; ${uuid}; cat /etc/machine-id; hostname; ${bootId}`;

export function snapshotSuite(runtime: string): void {
  describe(`snapshots on ${runtime}`, { skip: missingForServer() ?? false }, () => {
    let server: TestServer;
    before(async () => {
      server = await startServer();
    });
    after(() => server.close());

    const connection = (): { url: string; apiKey: string } => ({ url: server.url, apiKey: server.apiKey });
    const create = (options: CreateOptions = {}): Promise<Sandbox> =>
      Sandbox.create({ ...connection(), timeoutMs: 600_000, ...options });

    async function counter(sbx: Sandbox): Promise<void> {
      await (await sbx.spawn(counting)).detach();
      await sleep(400);
    }

    async function countOf(sbx: Sandbox): Promise<number> {
      return Number((await sbx.exec(lastCount)).stdout);
    }

    /** Everything of the service dies at once, and another one starts. */
    async function crash(meanwhile: () => void = () => {}): Promise<void> {
      const { process: crashed, dataDir } = server;
      const gone = new Promise((resolve) => crashed.once('exit', resolve));
      process.kill(-(crashed.pid ?? 0), 'SIGKILL');
      await gone;
      meanwhile();
      server = await startServer({ dataDir, port: Number(new URL(server.url).port) });
    }

    /** The largest file of the only snapshot on disk. */
    function memoryFile(): string {
      const folder = join(server.dataDir, 'snapshots');
      const files = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.parentPath.includes('content'))
        .map((entry) => join(entry.parentPath, entry.name));
      const found = files.find((file) => /pages\.img$|memory/.test(file)) ?? files[0];
      assert.ok(found);
      return found;
    }

    it('pauses with files and programs, costs no process meanwhile, and goes on after a crash of everything', async () => {
      const sbx = await create({ runtime });
      await sbx.files.write('kept', 'words');
      await counter(sbx);
      assert.equal((await sbx.pause()).state, 'paused');
      assert.deepEqual(
        {
          ...tracesOf(server.dataDir),
          sandboxFolders: 0,
          mounts: 0,
          cgroups: 0,
          namespaces: 0,
          journalEntries: 0,
        },
        noTraces,
      );
      await assert.rejects(sbx.exec(['true']), { code: 'conflict' });
      await crash();
      const again = await Sandbox.connect(sbx.id, connection());
      assert.equal((await again.info()).state, 'paused');
      assert.equal((await again.resume()).state, 'running');
      assert.equal(await again.files.read('kept'), 'words');
      const first = await countOf(again);
      await sleep(500);
      assert.ok((await countOf(again)) > first && first > 1, 'the counter went on');
      await again.kill();
    });

    it('pauses without programs where only files are wanted', async () => {
      await using sbx = await create({ runtime });
      await counter(sbx);
      await sbx.pause({ keepMemory: false });
      await sbx.resume();
      const count = await countOf(sbx);
      await sleep(300);
      assert.equal(await countOf(sbx), count);
    });

    it('pauses at its time limit and is resumed by the next call, where it was created so', async () => {
      await using sbx = await create({ runtime, timeoutMs: 3000, onTimeout: 'pause', autoResume: true });
      await sbx.files.write('kept', 'words');
      for (let round = 0; round < 600 && (await sbx.info()).state !== 'paused'; round += 1) await sleep(100);
      assert.equal((await sbx.info()).state, 'paused');
      assert.equal(await sbx.files.read('kept'), 'words');
      assert.equal((await sbx.info()).state, 'running');
    });

    it('starts any number from a named snapshot, in later runs too, while the source goes on', async () => {
      await using sbx = await create({ runtime });
      await sbx.files.write('kept', 'words');
      await counter(sbx);
      const taken = await sbx.snapshot({ name: 'named', labels: { for: 'test' } });
      assert.ok(taken.bytes > 0);
      const before = await countOf(sbx);
      await sleep(300);
      assert.ok((await countOf(sbx)) > before, 'the source went on');
      await assert.rejects(sbx.snapshot({ name: 'named' }), { code: 'conflict' });
      await crash();
      const one = await create({ snapshot: 'named' });
      const two = await create({ snapshot: taken.id });
      for (const child of [one, two]) assert.equal(await child.files.read('kept'), 'words');
      const info = await one.info();
      assert.equal(info.snapshotId, taken.id);
      assert.equal(info.acceleration !== undefined, info.isolation === 'virtual-machine');
      const grandchild = await one.snapshot();
      assert.equal(grandchild.parentId, taken.id);
      await server.client.snapshots.remove('named');
      assert.equal((await two.exec(['cat', 'kept'])).stdout, 'words');
      await assert.rejects(create({ snapshot: 'named' }), { code: 'not_found' });
      await server.client.snapshots.remove(grandchild.id);
      await Promise.all([one.kill(), two.kill()]);
    });

    it('forks: children have its files and programs, and nothing that has to be their own', async () => {
      await using sbx = await create({ runtime });
      await sbx.files.write('kept', 'words');
      await counter(sbx);
      const children = await sbx.fork(3);
      const seen = [(await sbx.exec(identity)).stdout.trim().split('\n')];
      for (const child of children) {
        assert.ok(child instanceof Sandbox, String(child));
        assert.equal(await child.files.read('kept'), 'words');
        const first = await countOf(child);
        await sleep(200);
        assert.ok((await countOf(child)) > first, 'its counter goes on');
        seen.push((await child.exec(identity)).stdout.trim().split('\n'));
      }
      for (const [column, what] of ['urandom', 'uuid', 'machine-id', 'hostname', 'boot id'].entries()) {
        const values = seen.map((row) => row[column]);
        assert.equal(new Set(values).size, seen.length, `${what}: ${values.join(', ')}`);
      }
      for (const child of children) if (child instanceof Sandbox) await child.kill();
    });

    it('tells the right time after a snapshot that looks three days old, and TLS believes certificates of today', async () => {
      await using sbx = await create({ runtime, template: 'python' });
      const pem = execFileSync('openssl', [
        ...[
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:prime256v1',
          '-nodes',
          '-days',
          '2',
        ],
        ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', '-', '-out', '-'],
      ]);
      await sbx.files.write('pem', pem);
      await sbx.files.write('handshake.py', handshake);
      // Where the kernel is the host's, nobody can set it back, and nothing has to be put right.
      const isOwn = (await sbx.info()).isolation === 'virtual-machine';
      if (isOwn) {
        await sbx.exec('date -s @$(($(date +%s) - 3 * 86400))', { user: 'root' });
        assert.match((await sbx.exec(['python3', 'handshake.py'])).stderr, /not yet valid/);
      }
      await sbx.pause();
      await sbx.resume();
      const from = Date.now();
      const inside = Number((await sbx.exec(['date', '+%s.%N'])).stdout) * 1000;
      assert.ok(inside > from - 2000 && inside < Date.now() + 2000, `${inside - from} ms off`);
      assert.equal((await sbx.exec(['python3', 'handshake.py'])).stdout, 'well\n');
    });

    it('runs the hooks of a copy before anything else of its user', async () => {
      await using sbx = await create({ runtime });
      const hook = '#!/bin/sh\ncat /etc/machine-id > /home/user/hooked\n';
      await sbx.files.write('/etc/casemate/on-restore.d/note', hook, {
        user: 'root',
        mode: 0o755,
        parents: true,
      });
      const [child] = await sbx.fork(1);
      assert.ok(child instanceof Sandbox, String(child));
      const { stdout } = await child.exec('cat hooked; cat /etc/machine-id');
      const [hooked, machine] = stdout.trim().split('\n');
      assert.equal(hooked, machine);
      await child.kill();
    });

    it('refuses a snapshot whose bytes were changed, or cut off, while the server was down', async () => {
      const sbx = await create({ runtime });
      const { id } = await sbx.snapshot({ name: 'flipped' });
      await sbx.kill();
      const flip = (file: string): void => {
        const opened = openSync(file, 'r+');
        const byte = Buffer.alloc(1);
        readSync(opened, byte, 0, 1, 4096);
        writeSync(opened, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, 4096);
        closeSync(opened);
      };
      const file = memoryFile();
      await crash(() => flip(file));
      await assert.rejects(create({ snapshot: 'flipped' }), (error) => {
        assert.ok(error instanceof CasemateError && error.code === 'snapshot_damaged', String(error));
        return /bytes of .* have changed/.test(error.message);
      });
      await crash(() => flip(file));
      await (await create({ snapshot: 'flipped' })).kill();
      await crash(() => truncateSync(file, 4096));
      await assert.rejects(create({ snapshot: id }), { code: 'snapshot_damaged' });
      await server.client.snapshots.remove('flipped');
    });

    it('keeps snapshots to their tenant', async () => {
      const sbx = await create({ runtime });
      await sbx.snapshot({ name: 'mine' });
      const { key } = await server.client.keys.create({ name: 'other', scope: 'tenant', tenantId: 'other' });
      await assert.rejects(Sandbox.create({ url: server.url, apiKey: key, snapshot: 'mine' }), {
        code: 'not_found',
      });
      await server.client.snapshots.remove('mine');
      await sbx.kill();
    });

    for (const [change, state] of [
      ['pause', 'pausing'],
      ['resume', 'resuming'],
    ] as const) {
      it(`gives a kill that meets a ${change} the last word`, async () => {
        const sbx = await create({ runtime });
        if (change === 'resume') await sbx.pause();
        const changing = sbx[change]();
        while ((await sbx.info()).state !== state);
        await sbx.kill();
        const answer = (await changing).state;
        assert.ok(answer === 'ending' || answer === 'ended', `its answer was ${answer}`);
        const { state: last, endReason } = await sbx.info();
        assert.deepEqual([last, endReason], ['ended', 'killed']);
        for (const folder of ['journal', 'sandboxes'])
          assert.ok(!readdirSync(join(server.dataDir, folder)).some((name) => name.includes(sbx.id)), folder);
      });
    }

    it('leaves nothing when all are killed, paused ones included', async () => {
      const sbx = await create({ runtime });
      await sbx.pause();
      await sbx.kill();
      await stopProcess(server.process);
      assert.deepEqual(tracesOf(server.dataDir), noTraces);
      const left = readdirSync(join(server.dataDir, 'snapshots')).filter((name) => name !== 'key');
      assert.deepEqual(left, []);
      server = await startServer({ dataDir: server.dataDir });
    });
  });
}
