/** A sandbox's life on real parts: programs, files, ports, limits, and a crash of everything. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CreateOptions, Sandbox } from '../../sdk/typescript/src/index.ts';
import { noTraces, residentBytes, rootProcesses, serverPid, tracesOf } from './host.ts';
import { endOf, missingForServer, startServer, stopProcess, type TestServer } from './server.ts';

describe('a sandbox', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  const create = (options: CreateOptions = {}): Promise<Sandbox> =>
    Sandbox.create({ url: server.url, apiKey: server.apiKey, ...options });
  before(async () => {
    server = await startServer();
  });
  after(() => server.close());

  it('runs programs: output apart, exit codes, stdin, environment, user, deadline', async () => {
    await using sbx = await create({ env: { FROM: 'create' }, hostname: 'mine' });
    const both = await sbx.exec('echo out; echo err >&2; exit 3');
    assert.deepEqual([both.stdout, both.stderr, both.exitCode], ['out\n', 'err\n', 3]);
    assert.equal((await sbx.exec(['cat'], { stdin: 'through' })).stdout, 'through');
    assert.equal(
      (await sbx.exec('echo $FROM $ALSO; hostname; whoami; pwd', { env: { ALSO: 'exec' } })).stdout,
      'create exec\nmine\nuser\n/home/user\n',
    );
    assert.equal((await sbx.exec(['id', '-u'], { user: 'root' })).stdout, '0\n');
    const late = await sbx.exec(['sleep', '60'], { timeoutMs: 300 });
    assert.deepEqual([late.reason, late.exitCode], ['deadline', 143]);
    await assert.rejects(sbx.exec(['no-such-program']), { code: 'exec_failed' });
  });

  it('gives the template’s user sudo, and the sandbox’s root is only the sandbox’s', async () => {
    await using sbx = await create();
    const become = await sbx.exec(
      'id -un; sudo id -un; sudo -u nobody id -un; echo in | sudo cat; sudo sh -c "exit 7"; echo $?',
    );
    assert.equal(become.stdout, 'user\nroot\nnobody\nin\n7\n');
    await sbx.exec('sudo touch /etc/mine && sudo A=b sh -c \'test "$A" = b\'');
    assert.equal((await sbx.files.stat('/etc/mine')).uid, 0);
    const late = await sbx.exec('sudo sleep 60', { timeoutMs: 1500 });
    assert.equal(late.reason, 'deadline');
    const left = await sbx.exec('sleep 0.3; pgrep -x sleep | wc -l');
    assert.equal(left.stdout, '0\n');
    assert.notEqual((await sbx.exec('sudo id', { user: 'nobody' })).exitCode, 0);
  });

  it('moves files both ways without changing a byte, and refuses what cannot be', async () => {
    await using sbx = await create();
    const bytes = randomBytes(9_000_000);
    await sbx.files.write('sub/big.bin', bytes, { parents: true });
    const back = await sbx.files.read('sub/big.bin', { format: 'bytes' });
    assert.equal(digest(back), digest(bytes));
    const part = await sbx.files.read('sub/big.bin', { format: 'bytes', range: { first: 100, last: 199 } });
    assert.deepEqual(Buffer.from(part), bytes.subarray(100, 200));
    assert.deepEqual(
      (await sbx.files.list('sub')).map(({ name, size }) => [name, size]),
      [['big.bin', 9_000_000]],
    );
    await sbx.files.move('sub/big.bin', 'moved');
    assert.equal(await sbx.files.exists('sub/big.bin'), false);
    await assert.rejects(sbx.files.read('/etc/shadow'), { code: 'file_denied' });
    await assert.rejects(sbx.files.read('/dev/zero'), { code: 'file_invalid' });
    await assert.rejects(sbx.files.read('nothing'), { code: 'file_not_found' });
  });

  it('gives no way to the host’s files through any path of the API', async () => {
    await using sbx = await create();
    const secret = server.apiKey;
    const hostFile = `${server.dataDir}/server/admin.key`;
    await sbx.exec(`ln -s ${hostFile} link; ln -s / root; ln ${hostFile} hard`, { user: 'user' });
    const paths = [
      hostFile,
      `../../../../../..${hostFile}`,
      'link',
      `root${hostFile}`,
      'hard',
      `/proc/1/root${hostFile}`,
      `/proc/self/cwd/..${hostFile}`,
    ];
    for (const path of paths) {
      const text = await sbx.files.read(path, { user: 'root' }).catch(() => '');
      assert.ok(!text.includes(secret), path);
    }
  });

  it('has a terminal, forwards ports, keeps output for a reader that comes later', async () => {
    await using sbx = await create({ template: 'python' });
    const terminal = await sbx.pty({ rows: 30, cols: 90, command: 'stty size; read word; echo got $word' });
    await terminal.writeStdin('hello\n');
    let seen = '';
    for await (const { data } of terminal.output()) seen += Buffer.from(data).toString();
    assert.match(seen, /30 90[\s\S]*got hello/);
    const web = await sbx.spawn(
      'mkdir -p web && cd web && echo page > index.html && exec python3 -m http.server 8000 2>&1',
    );
    await web.detach();
    await using forward = await sbx.ports.forward(8000);
    let page = '';
    for (let round = 0; round < 100 && page === ''; round += 1) {
      page = await fetch(`${forward.url}/index.html`).then(
        (answer) => answer.text(),
        () => '',
      );
      if (page === '') await sleep(100);
    }
    assert.equal(page, 'page\n');
    const noisy = await sbx.spawn('head -c 3000000 /dev/zero; echo end');
    await noisy.detach();
    await sleep(1000);
    const later = await sbx.attach(noisy.execId);
    const kept = await gather(later.output());
    assert.ok(
      kept.length <= 1_048_576 + 300_000 && kept.toString('latin1').endsWith('end\n'),
      String(kept.length),
    );
  });

  it('loses nothing and keeps little when the reader is slow', async () => {
    await using sbx = await create();
    const pid = serverPid(server.process.pid ?? 0);
    const child = await sbx.spawn('seq 1 3000000');
    const before = residentBytes(pid);
    const hash = createHash('sha256');
    let highest = before;
    let pieces = 0;
    for await (const { data } of child.output()) {
      hash.update(data);
      pieces += 1;
      if (pieces % 40 === 0) await sleep(5);
      highest = Math.max(highest, residentBytes(pid));
    }
    const expected = createHash('sha256');
    for (let number = 1; number <= 3_000_000; number += 1) expected.update(`${number}\n`);
    assert.equal(hash.digest('hex'), expected.digest('hex'));
    assert.equal(child.exit?.exitCode, 0);
    assert.ok(highest - before < 48 * 1024 * 1024, `${(highest - before) / 1048576} MiB`);
  });

  it('ends at its time limit and at idleness, and leaves nothing', async () => {
    const timed = await create({ timeoutMs: 1500 });
    const idle = await create({ idleTimeoutMs: 1000 });
    assert.equal((await endOf(timed)).endReason, 'time_limit');
    assert.equal((await endOf(idle)).endReason, 'idle');
    await assert.rejects(timed.exec(['true']), { code: 'sandbox_ended' });
  });

  it('runs nothing of its own as root but the root process', async () => {
    await using sbx = await create();
    await sbx.exec(['true']);
    const asRoot = await rootProcesses(server.process.pid ?? 0);
    assert.deepEqual(
      asRoot.filter((name) => !name.startsWith('runsc-')),
      ['the root process'],
    );
  });

  it('leaves nothing on the host when all are killed', async () => {
    for await (const { id } of Sandbox.list({ url: server.url, apiKey: server.apiKey })) {
      await (await Sandbox.connect(id, { url: server.url, apiKey: server.apiKey })).kill();
    }
    await stopProcess(server.process);
    assert.deepEqual(tracesOf(server.dataDir), noTraces);
    server = await startServer({ dataDir: server.dataDir });
  });

  it('survives kill -9 of the server, then of everything, and goes on', async () => {
    const sbx = await create({ timeoutMs: 120_000 });
    const counter = await sbx.spawn('i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done');
    await counter.detach();
    process.kill(serverPid(server.process.pid ?? 0), 'SIGKILL');
    const again = await untilAnswers(sbx);
    assert.equal((await again.exec(['echo', 'still'])).stdout, 'still\n');
    const crashed = server;
    const gone = new Promise((resolve) => crashed.process.once('exit', resolve));
    process.kill(-(crashed.process.pid ?? 0), 'SIGKILL');
    await gone;
    server = await startServer({ dataDir: crashed.dataDir });
    const survivor = await Sandbox.connect(sbx.id, { url: server.url, apiKey: server.apiKey });
    assert.equal((await survivor.info()).state, 'running');
    const output = await survivor.attach(counter.execId);
    const numbers: number[] = [];
    for await (const { data } of output.output()) {
      numbers.push(...Buffer.from(data).toString().trim().split('\n').map(Number));
      if (numbers.length > 40) break;
    }
    assert.ok(
      numbers.every((number, index) => index === 0 || number - (numbers[index - 1] ?? 0) <= 1),
      'a gap in the counter',
    );
    await survivor.kill();
  });
});

async function gather(output: AsyncIterable<{ data: Uint8Array }>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const { data } of output) pieces.push(data.slice());
  return Buffer.concat(pieces);
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function untilAnswers(sbx: Sandbox): Promise<Sandbox> {
  for (let round = 0; round < 100; round += 1) {
    const answers = await sbx.ping().then(
      () => true,
      () => false,
    );
    if (answers) return sbx;
    await sleep(100);
  }
  throw new Error('the server did not come back');
}
