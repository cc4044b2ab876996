/** E2B's own JavaScript SDK, unchanged, against a live server: lifecycle, programs, files, terminals, ports, errors. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConnectionOpts, Sandbox as SandboxType } from 'e2b';
import { Sandbox as NativeSandbox } from '../../sdk/typescript/src/index.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

type Sdk = Omit<typeof import('e2b'), 'default'>;
const newest: Sdk = await import('e2b');
/** Its types are older than what is called here; what it lacks is left out where `isNewest` is asked. */
const older = (await import('e2b-a-year-ago')) as unknown as Sdk;

describe('the E2B SDK for JavaScript, newest', { skip: missingForServer() ?? false }, () => testSdk(newest));
describe('the E2B SDK for JavaScript, a year ago', { skip: missingForServer() ?? false }, () =>
  testSdk(older),
);

function testSdk(sdk: Sdk): void {
  const { AuthenticationError, CommandExitError, FilesystemEventType, InvalidArgumentError } = sdk;
  const { NotEnoughSpaceError, NotFoundError, Sandbox, SandboxError, TimeoutError } = sdk;
  // A year ago everything that is missing was a NotFoundError.
  const { FileNotFoundError = NotFoundError, SandboxNotFoundError = NotFoundError } = sdk;
  const isNewest = sdk === newest;
  const unsupported = (error: unknown): boolean =>
    error instanceof SandboxError && error.message.includes('501: Casemate does not support');
  let server: TestServer;
  let options: ConnectionOpts;
  let sandbox: SandboxType;
  before(async () => {
    server = await startServer();
    options = {
      apiUrl: server.url,
      sandboxUrl: server.url,
      apiKey: server.apiKey.replace('casemate_', 'e2b_'),
    };
    sandbox = await Sandbox.create({ ...options, timeoutMs: 600_000, envs: { GIVEN: 'at create' } });
  });
  after(() => server.close());

  describe('Sandbox', () => {
    it('creates, describes, finds and kills', async () => {
      const made = await Sandbox.create('base', { ...options, metadata: { for: 'life & time', é: 'ü=1' } });
      const info = await made.getInfo();
      assert.equal(info.sandboxId, made.sandboxId);
      assert.equal(info.templateId, 'base');
      assert.equal(info.state, 'running');
      assert.equal(info.metadata.é, 'ü=1');
      assert.ok(info.endAt.getTime() - info.startedAt.getTime() >= 290_000);
      const pages = Sandbox.list({ ...options, query: { metadata: { for: 'life & time', é: 'ü=1' } } });
      assert.deepEqual(
        (await pages.nextItems()).map(({ sandboxId }) => sandboxId),
        [made.sandboxId],
      );
      assert.equal(pages.hasNext, false);
      assert.equal(await made.isRunning(), true);
      const killed = await made.kill();
      if (isNewest) assert.equal(killed, true);
      assert.equal(await made.isRunning(), false);
      assert.equal(await Sandbox.kill(made.sandboxId, options), false);
      await assert.rejects(made.getInfo(), SandboxNotFoundError);
    });

    it('pages through a list, by state and template', async () => {
      const more = await Promise.all(
        [1, 2].map(() => Sandbox.create({ ...options, metadata: { page: 'yes' } })),
      );
      const query = { metadata: { page: 'yes' }, state: ['running' as const], template: 'base' };
      const pages = Sandbox.list({ ...options, limit: 1, query });
      const found: string[] = [];
      while (pages.hasNext) found.push(...(await pages.nextItems()).map(({ sandboxId }) => sandboxId));
      assert.deepEqual(found.toSorted(), more.map(({ sandboxId }) => sandboxId).toSorted());
      await Promise.all(more.map((one) => one.kill()));
    });

    it('connects again, and never shortens by it', async () => {
      await sandbox.files.write('kept.txt', 'kept');
      const before = await sandbox.getInfo();
      const again = await Sandbox.connect(sandbox.sandboxId, { ...options, timeoutMs: 5000 });
      assert.equal(await again.files.read('kept.txt'), 'kept');
      assert.deepEqual((await again.getInfo()).endAt, before.endAt);
      await assert.rejects(Sandbox.connect('nothing', options), SandboxNotFoundError);
    });

    it('sets the time limit, and ends by it', async () => {
      const short = await Sandbox.create(options);
      await short.setTimeout(2000);
      for (let i = 0; i < 100 && (await short.isRunning()); i += 1) await sleep(100);
      assert.equal(await short.isRunning(), false);
      await assert.rejects(short.commands.run('true'), (error) =>
        isOneOf(error, SandboxNotFoundError, TimeoutError),
      );
      await assert.rejects(short.setTimeout(1000), SandboxNotFoundError);
    });

    it('measures', async () => {
      const [metric] = await sandbox.getMetrics();
      assert.ok(metric !== undefined && metric.memUsed > 0 && metric.memTotal > metric.memUsed);
      assert.ok(metric.diskTotal > 0 && metric.cpuCount === 1 && metric.cpuUsedPct >= 0);
    });

    it('says what it does not have instead of pretending', async () => {
      if (isNewest) {
        await assert.rejects(sandbox.files.write('x', 'x', { metadata: { a: 'b' } }), unsupported);
      }
      await assert.rejects(
        Sandbox.create({ ...options, network: { egressProxy: { address: 'a.test:1080' } } }),
        unsupported,
      );
      await assert.rejects(Sandbox.create('no-such-template', options), /404: .*no-such-template/);
    });
  });

  describe('commands', () => {
    it('runs, with output of both kinds and callbacks', async () => {
      const heard: string[] = [];
      const result = await sandbox.commands.run('echo out; echo err >&2', {
        onStdout: (text) => void heard.push(`1${text}`),
        onStderr: (text) => void heard.push(`2${text}`),
      });
      assert.equal(result.exitCode, 0);
      assert.equal(result.stdout, 'out\n');
      assert.equal(result.stderr, 'err\n');
      assert.deepEqual(heard.toSorted(), ['1out\n', '2err\n']);
    });

    it('throws for an exit code, with the output', async () => {
      await assert.rejects(sandbox.commands.run('echo half; exit 7'), (error) => {
        assert.ok(error instanceof CommandExitError);
        assert.equal(error.exitCode, 7);
        assert.equal(error.stdout, 'half\n');
        assert.equal(error.error, 'exit status 7');
        return true;
      });
    });

    it('takes envs, cwd and user', async () => {
      const run = async (command: string, more: object = {}): Promise<string> =>
        (await sandbox.commands.run(command, more)).stdout.trim();
      assert.equal(await run('echo $GIVEN $MORE', { envs: { MORE: 'at run' } }), 'at create at run');
      assert.equal(await run('echo $E2B_SANDBOX $E2B_SANDBOX_ID'), `true ${sandbox.sandboxId}`);
      assert.equal(await run('pwd', { cwd: '/usr' }), '/usr');
      assert.equal(await run('whoami; pwd'), 'user\n/home/user');
      assert.equal(await run('whoami', { user: 'root' }), 'root');
      await assert.rejects(run('true', { cwd: '/no/where' }), InvalidArgumentError);
      await assert.rejects(run('true', { user: 'nobody-here' }), AuthenticationError);
    });

    it('carries a lot of output, and bytes that are split anywhere', async () => {
      const result = await sandbox.commands.run(
        "head -c 3000000 /dev/zero | tr '\\0' x; printf 'ü%.0s' $(seq 1000)",
      );
      assert.equal(result.stdout.length, 3_001_000);
      assert.ok(result.stdout.endsWith('üü'));
    });

    it('ends what takes too long', async () => {
      await assert.rejects(sandbox.commands.run('sleep 61', { timeoutMs: 500 }), TimeoutError);
      for (let i = 0; i < 50 && (await sandbox.commands.list()).length > 0; i += 1) await sleep(100);
      assert.deepEqual(await sandbox.commands.list(), []);
    });

    it('runs in the background: list, connect, stdin, kill', async () => {
      const program = isNewest ? 'cat' : 'head -n 2'; // no client could close stdin a year ago
      const cat = await sandbox.commands.run(program, { background: true, stdin: true });
      const [listed] = await sandbox.commands.list();
      assert.equal(listed?.pid, cat.pid);
      assert.deepEqual(listed?.args, ['-l', '-c', program]);
      const other = await sandbox.commands.connect(cat.pid);
      await sandbox.commands.sendStdin(cat.pid, 'one\n');
      await sandbox.commands.sendStdin(other.pid, 'two\n');
      if (isNewest) await cat.closeStdin();
      assert.equal((await cat.wait()).stdout, 'one\ntwo\n');
      assert.equal((await other.wait()).stdout, 'one\ntwo\n');

      const sleeper = await sandbox.commands.run('sleep 60', { background: true });
      assert.equal(await sandbox.commands.kill(sleeper.pid), true);
      await assert.rejects(sleeper.wait(), (error) => {
        assert.ok(error instanceof CommandExitError);
        assert.equal(error.exitCode, -1);
        assert.equal(error.error, 'signal: killed');
        return true;
      });
      assert.equal(await sandbox.commands.kill(sleeper.pid), false);
      await assert.rejects(sandbox.commands.connect(999_999), /not_found/);
    });

    it('goes on without its client, and gives what was said meanwhile', async () => {
      const counter = await sandbox.commands.run('sleep 0.5; echo late; sleep 0.5; echo later', {
        background: true,
      });
      await counter.disconnect();
      await sleep(700);
      const again = await sandbox.commands.connect(counter.pid);
      assert.equal((await again.wait()).stdout, 'late\nlater\n');
    });
  });

  describe('files', () => {
    it('writes and reads text, bytes, blobs and streams', async () => {
      const bytes = new Uint8Array(300_000).map((_, place) => place % 251);
      const written = await sandbox.files.write('deep/er/ü name.txt', 'text ü');
      assert.equal(written.path, '/home/user/deep/er/ü name.txt');
      assert.equal(written.name, 'ü name.txt');
      assert.equal(await sandbox.files.read('deep/er/ü name.txt'), 'text ü');
      await sandbox.files.write('/tmp/bytes', bytes.buffer);
      assert.deepEqual(await sandbox.files.read('/tmp/bytes', { format: 'bytes' }), bytes);
      assert.equal((await sandbox.files.read('/tmp/bytes', { format: 'blob' })).size, bytes.length);
      await sandbox.files.write('/tmp/stream', new Blob([bytes]).stream());
      const chunks: Uint8Array[] = [];
      for await (const chunk of await sandbox.files.read('/tmp/stream', { format: 'stream' }))
        chunks.push(chunk);
      assert.deepEqual(new Uint8Array(Buffer.concat(chunks)), bytes);
      await sandbox.files.write('/tmp/zipped', 'zip me', { gzip: true });
      assert.equal(await sandbox.files.read('/tmp/zipped', { gzip: true }), 'zip me');
      await sandbox.files.write('/tmp/empty', '');
      assert.equal(await sandbox.files.read('/tmp/empty'), '');
    });

    it('writes many at once', async () => {
      const many = Array.from({ length: 20 }, (_, i) => ({ path: `many/${i}.txt`, data: `text ${i}` }));
      const written = await sandbox.files.write(many);
      assert.deepEqual(
        written.map(({ path }) => path),
        many.map(({ path }) => `/home/user/${path}`),
      );
      assert.equal(await sandbox.files.read('many/19.txt'), 'text 19');
      assert.deepEqual(await sandbox.files.write([]), []);
    });

    it('writes where only root may, and gives it to the user', async () => {
      await sandbox.files.write('/opt/own/app.py', 'x'.repeat(400_000));
      const info = await sandbox.files.getInfo('/opt/own/app.py');
      assert.equal(info.owner, 'user');
      assert.equal(info.size, 400_000);
      assert.equal(await sandbox.files.makeDir('/opt/made'), true);
      assert.equal((await sandbox.files.getInfo('/opt/made')).owner, 'user');
      await sandbox.files.write('/opt/roots', 'x', { user: 'root' });
      assert.equal((await sandbox.files.getInfo('/opt/roots')).owner, 'root');
    });

    it('lists, describes and finds', async () => {
      await sandbox.commands.run(
        'mkdir -p tree/a/b && echo hi > tree/a/f && ln -s a/f tree/link && ln -s gone tree/broken',
      );
      const names = async (depth: number): Promise<string[]> =>
        (await sandbox.files.list('tree', { depth })).map(({ path }) =>
          path.slice('/home/user/tree/'.length),
        );
      const broken = isNewest ? ['broken'] : []; // older clients leave out what leads nowhere
      assert.deepEqual(await names(1), ['a', ...broken, 'link']);
      assert.deepEqual(await names(2), ['a', 'a/b', 'a/f', ...broken, 'link']);
      const file = await sandbox.files.getInfo('tree/a/f');
      assert.equal(file.type, 'file');
      assert.equal(file.permissions, '-rw-r--r--');
      assert.equal(file.mode, 0o644);
      assert.equal(file.owner, 'user');
      assert.equal(file.group, 'user');
      assert.equal(file.size, 3);
      assert.ok(Math.abs((file.modifiedTime?.getTime() ?? 0) - Date.now()) < 600_000);
      const link = await sandbox.files.getInfo('tree/link');
      assert.equal(link.type, 'file');
      assert.equal(link.symlinkTarget, '/home/user/tree/a/f');
      assert.equal((await sandbox.files.getInfo('~/tree/a')).permissions, 'drwxr-xr-x');
      assert.equal(await sandbox.files.exists('tree'), true);
      assert.equal(await sandbox.files.exists('no-tree'), false);
    });

    it('makes, moves and removes', async () => {
      assert.equal(await sandbox.files.makeDir('made/in/one'), true);
      assert.equal(await sandbox.files.makeDir('made/in/one'), false);
      await sandbox.files.write('made/file', 'moved');
      await assert.rejects(sandbox.files.makeDir('made/file'), InvalidArgumentError);
      const moved = await sandbox.files.rename('made/file', 'elsewhere/new/file');
      assert.equal(moved.path, '/home/user/elsewhere/new/file');
      assert.equal(await sandbox.files.read('elsewhere/new/file'), 'moved');
      await sandbox.files.remove('elsewhere');
      await sandbox.files.remove('elsewhere');
      assert.equal(await sandbox.files.exists('elsewhere'), false);
    });

    it('names what is wrong', async () => {
      const { files } = sandbox;
      await assert.rejects(files.read('none'), FileNotFoundError);
      await assert.rejects(files.list('none'), FileNotFoundError);
      await assert.rejects(files.getInfo('none'), FileNotFoundError);
      await assert.rejects(files.rename('none', 'other'), FileNotFoundError);
      await assert.rejects(
        files.watchDir('none', () => {}),
        FileNotFoundError,
      );
      await assert.rejects(files.read('/usr'), InvalidArgumentError);
      await assert.rejects(files.list('/etc/passwd'), InvalidArgumentError);
      await assert.rejects(files.read('x', { user: 'nobody-here' }), AuthenticationError);
    });

    it('says when the disk is full', async () => {
      const small = await NativeSandbox.create({
        url: server.url,
        apiKey: server.apiKey,
        limits: { diskMib: 64 },
      });
      const full = await Sandbox.connect(small.id, options);
      const piece = new Uint8Array(16 * 1024 * 1024);
      const fill = async (): Promise<void> => {
        for (let i = 0; i < 8; i += 1) await full.files.write(`/tmp/big-${i}`, new Blob([piece]).stream());
      };
      await assert.rejects(fill(), NotEnoughSpaceError);
      await full.kill();
    });

    it('watches a directory', async () => {
      await sandbox.files.makeDir('watched/sub');
      const seen = new Set<string>();
      const handle = await sandbox.files.watchDir(
        'watched',
        ({ type, name, entry }) => void seen.add(`${type} ${name} ${entry?.size ?? '-'}`),
        { recursive: true, includeEntry: true },
      );
      await sandbox.files.write('watched/sub/new', 'four');
      await sandbox.commands.run(
        'cd watched && echo x > plain && mv plain moved && chmod 600 moved && rm moved',
      );
      const { CREATE, REMOVE, RENAME } = FilesystemEventType;
      const wanted = [
        `${CREATE} sub/new ${isNewest ? 4 : '-'}`,
        `${CREATE} plain -`,
        `${RENAME} plain -`,
        `${REMOVE} moved -`,
      ];
      const missing = (): string[] => wanted.filter((event) => ![...seen].some((one) => fits(one, event)));
      for (let i = 0; i < 50 && missing().length > 0; i += 1) await sleep(100);
      await handle.stop();
      assert.deepEqual(missing(), [], [...seen].join('\n'));
    });

    it('signs URLs for others', async () => {
      const direct = { ...options, sandboxUrl: server.url };
      const signer = await Sandbox.connect(sandbox.sandboxId, direct);
      const upload = await signer.uploadUrl('signed.txt', { useSignatureExpiration: 60 });
      const form = new FormData();
      form.append('file', new Blob(['by url']), 'ignored');
      assert.equal((await fetch(upload, { method: 'POST', body: form })).status, 200);
      const download = await signer.downloadUrl('signed.txt', { user: 'user' });
      assert.equal(await (await fetch(download)).text(), 'by url');
      assert.equal((await fetch(download.replace('signed.txt', 'other'))).status, 401);
      const roots = await signer.uploadUrl('/etc/signed');
      assert.equal(
        (await fetch(roots, { method: 'POST', body: form })).status,
        403,
        'no rights but the user’s',
      );
      const old = await signer.downloadUrl('signed.txt', { useSignatureExpiration: -10 });
      assert.deepEqual(await (await fetch(old)).json(), {
        code: 401,
        message: 'signature is already expired',
      });
    });
  });

  describe('pty', () => {
    it('talks to a shell, resizes and kills it', async () => {
      let screen = '';
      const decoder = new TextDecoder();
      const onData = (data: Uint8Array): void => {
        screen += decoder.decode(data);
      };
      const until = async (text: string): Promise<void> => {
        for (let i = 0; i < 100 && !screen.includes(text); i += 1) await sleep(100);
        assert.ok(screen.includes(text), screen);
      };
      const terminal = await sandbox.pty.create({ cols: 80, rows: 24, onData, envs: { HELLO: 'there' } });
      const type = (text: string): Promise<void> =>
        sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode(text));
      await type('echo "$HELLO-$TERM"; stty size\n');
      await until('there-xterm-256color');
      await until('24 80');
      await sandbox.pty.resize(terminal.pid, { cols: 100, rows: 30 });
      await type('stty size\n');
      await until('30 100');
      if (isNewest) {
        const other = await sandbox.pty.connect(terminal.pid, { onData: () => {} });
        await other.disconnect();
      }
      assert.equal(await sandbox.pty.kill(terminal.pid), true);
      await assert.rejects(terminal.wait(), CommandExitError);
    });
  });

  describe('git', () => {
    it('works on a repository, by commands alone', {
      skip: isNewest ? false : 'this SDK has no git',
    }, async () => {
      const path = '/home/user/repository';
      await sandbox.git.init(path, { initialBranch: 'main' });
      await sandbox.git.configureUser('Ada', 'ada@example.com', { scope: 'local', path });
      await sandbox.files.write(`${path}/a.txt`, 'a');
      await sandbox.git.add(path);
      await sandbox.git.commit(path, 'first');
      await sandbox.git.createBranch(path, 'next');
      assert.equal((await sandbox.git.status(path)).currentBranch, 'next');
    });
  });

  describe('errors', () => {
    it('refuses a wrong key and a wrong token', async () => {
      const wrong = { ...options, apiKey: `e2b_${'0'.repeat(40)}` };
      await assert.rejects(Sandbox.create(wrong), AuthenticationError);
      await assert.rejects(
        Sandbox.connect(sandbox.sandboxId, { ...options, apiKey: 'none' }),
        AuthenticationError,
      );
      const bare = await fetch(`${server.url}/process.Process/List`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'e2b-sandbox-id': sandbox.sandboxId,
          'e2b-sandbox-port': '49983',
        },
        body: '{}',
      });
      assert.equal(bare.status, 401);
    });

    it('tells of a sandbox that is killed under a running command', async () => {
      const victim = await Sandbox.create(options);
      const running = await victim.commands.run('sleep 60', { background: true });
      const failed = assert.rejects(running.wait(), TimeoutError);
      await victim.kill();
      await failed;
      await assert.rejects(victim.files.read('x'), TimeoutError);
    });
  });
}

function isOneOf(error: unknown, ...classes: (new (...args: never[]) => Error)[]): boolean {
  return classes.some((one) => error instanceof one);
}

/** `-` stands for any size. */
function fits(seen: string, wanted: string): boolean {
  return wanted.endsWith(' -') ? seen.startsWith(wanted.slice(0, -1)) : seen === wanted;
}
