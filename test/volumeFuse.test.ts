/** Volumes over the agent's stream: real kernels' FUSE without machines, and guests that send what no kernel would. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../src/base/ids.ts';
import { GuestClient } from '../src/guest/client.ts';
import type { VolumeClient } from '../src/guest/volumeClient.ts';
import { bridgeVolume } from '../src/node/volumeBridge.ts';
import { missingForServer } from './system/server.ts';
import { agentDir, VolumeStand } from './volumeStand.ts';

/** The agent as it runs in a machine, in a mount namespace of its own instead. */
interface Guest {
  readonly client: GuestClient;
  readonly child: ChildProcess;
  /** What a shell there says; at its end `exit N` unless that is 0. */
  run(command: string, user?: string): Promise<string>;
}

async function startGuest(): Promise<Guest> {
  const child = spawn(
    'taskset',
    ['-c', '0', 'unshare', '--mount', '--propagation', 'private', join(agentDir, 'guest-agent')],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const { stdin, stdout } = child;
  assert.ok(stdin !== null && stdout !== null);
  const client = await GuestClient.attach({
    readable: stdout,
    writable: stdin,
    close: () => child.kill('SIGKILL'),
  });
  const run = async (command: string, user = '0'): Promise<string> => {
    const stream = await client.execStart({ execId: newId(), argv: ['/bin/sh', '-c', command], user });
    let text = '';
    for await (const { data } of stream.output) text += Buffer.from(data).toString();
    const exit = await stream.exited;
    return `${text.trim()}${exit?.exitCode === 0 ? '' : ` exit ${exit?.exitCode}`}`;
  };
  return { client, child, run };
}

const missing = missingForServer() ?? (existsSync('/dev/fuse') ? false : 'this machine has no /dev/fuse');

describe('a volume over the agent’s stream', { skip: missing }, () => {
  const stand = new VolumeStand();
  const place = join(stand.folder, 'mounted');
  const guests: Guest[] = [];
  let files: VolumeClient;
  before(async () => {
    await stand.make(64);
    mkdirSync(place);
    files = await stand.attach();
  });
  after(async () => {
    for (const { client } of guests) client.close();
    files.close();
    await sleep(200);
    await stand.close();
  });

  const useFiles = async (): Promise<{ files: VolumeClient; done: () => void }> => ({ files, done() {} });
  const guestWith = async (options: { readOnly?: boolean; subpath?: string } = {}): Promise<Guest> => {
    const { readOnly = false, subpath } = options;
    const guest = await startGuest();
    guests.push(guest);
    const volume = { volumeId: stand.id, slot: 0, readOnly, ...(subpath === undefined ? {} : { subpath }) };
    const mounted = guest.client.mountVolume({ slot: 0, path: place, stream: true, readOnly });
    await bridgeVolume({ guest: guest.client, volume, mounted, useFiles });
    return guest;
  };
  const at = (command: string): string => `cd ${place} && ${command}`;

  it('does what programs do with files', async () => {
    const { run } = await guestWith();
    assert.equal(await run(at('echo words > file && cat file && stat -c "%a %u %s" file')), 'words\n644 0 6');
    assert.equal(
      await run(at('mkdir -p a/b/c && mv file a/b/c/moved && cat a/b/c/moved && ls -R | wc -l')),
      'words\n11',
    );
    assert.equal(await run(at('ln -s a/b/c/moved link && cat link && readlink link')), 'words\na/b/c/moved');
    assert.equal(
      await run(at('ln a/b/c/moved hard && stat -c %h hard && rm a/b/c/moved && cat hard')),
      '2\nwords',
    );
    assert.equal(
      await run(
        at('chmod 600 hard && chown 12:13 hard && touch -d @1000 hard && stat -c "%a %u %g %Y" hard'),
      ),
      '600 12 13 1000',
    );
    assert.equal(
      await run(at('truncate -s 3 hard && cat hard && echo more >> hard && wc -c < hard')),
      'wor8',
    );
    assert.equal(await run(at('mkfifo pipe && (echo through > pipe & cat pipe); rm pipe')), 'through');
    assert.equal(
      await run(
        at(
          'dd if=/dev/urandom bs=128k count=80 2>&- | tee big | sha256sum > sum; sha256sum < big | cmp - sum; rm big',
        ),
      ),
      '',
    );
    assert.equal(
      await run(at('for i in $(seq 300); do : > many$i; done; ls | grep -c many; rm many*; ls')),
      '300\na\nhard\nlink\nsum',
    );
    assert.equal(
      await run(
        at(
          'python3 -c \'import os; f=open("gone","w+"); os.unlink("gone"); f.write("kept"); f.flush(); print(os.fstat(f.fileno()).st_nlink); f.seek(0); print(f.read())\'',
        ),
      ),
      '0\nkept',
    );
    assert.equal(await run(at('mknod disk b 7 0 2>&1 | grep -c "not permitted"')), '1');
    assert.match(await run(`df -m --output=size ${place}`), /\n *5\d$/);
    assert.match(await run(at('dd if=/dev/zero of=full bs=128k count=600 2>&1; rm full')), /No space left/);
  });

  it('starts programs that lie in it, and in its folders, on a single processor', async () => {
    const [{ client, run }] = guests as [Guest];
    await run(at('cp /bin/true program && chmod 755 program'));
    const start = async (user: string): Promise<void> => {
      const argv = [join(place, 'program')];
      const stream = await client.execStart({ execId: newId(), argv, cwd: place, user });
      for await (const _chunk of stream.output);
      assert.equal((await stream.exited)?.exitCode, 0);
    };
    for (let round = 0; round < 10; round += 1) {
      for (const user of ['0', '1000']) await start(user);
      await Promise.all(['0', '1000', '1000'].map(start));
    }
    await run(at('rm program'));
    const cwd = join(place, 'not-there');
    await assert.rejects(client.execStart({ execId: newId(), argv: ['/bin/true'], cwd, user: '1000' }), {
      code: 'exec_failed',
    });
  });

  it('keeps users apart by the guest’s numbers', async () => {
    const { run } = guests[0] as Guest;
    assert.equal(
      await run(at('mkdir -m 755 mine && chown 1000 mine && echo x > mine/secret && chmod 600 mine/secret')),
      '',
    );
    assert.match(await run(at('cat mine/secret'), '1000'), /Permission denied/);
    assert.equal(await run(at('echo own > mine/file && stat -c %u:%g mine/file'), '1000'), '1000:1000');
    assert.equal(statSync(join(stand.root, 'mine/file')).uid, 1000);
  });

  it('shows a folder of it alone, and read-only where it shall be', async () => {
    const [all] = guests as [Guest];
    symlinkSync('../hard', join(stand.root, 'mine/up'));
    const part = await guestWith({ subpath: 'mine', readOnly: true });
    assert.equal(await part.run(at('ls; cat file')), 'file\nsecret\nup\nown');
    assert.match(await part.run(at('cat up 2>&1')), /No such file/);
    assert.match(await part.run(at('echo x > new 2>&1')), /Read-only/);
    await all.run(at('echo changed > mine/file'));
    assert.equal(await part.run(at('cat file')), 'changed');
  });

  it('goes on when what serves it ends in the middle, with open files and folders', async () => {
    const [{ run }] = guests as [Guest];
    const writing = run(
      at(
        'mkdir -p deep/er && cd deep/er && exec 7>>log && for i in $(seq 60); do echo line $i >&7; sleep 0.05; done; pwd -P; wc -l < log',
      ),
    );
    await sleep(800);
    files.close();
    await stand.servers.close(stand.id);
    files = await stand.attach();
    assert.equal(await writing, `${place}/deep/er\n60`);
  });

  it('gives a guest nothing that a kernel would not ask for', async () => {
    writeFileSync(join(stand.folder, 'secret'), 'of the host');
    symlinkSync(stand.folder, join(stand.root, 'mine/out'));
    const duplex = await files.fuse({ path: 'mine', readOnly: true });
    duplex.on('error', () => {});
    const ask = (opcode: number, node: bigint, body: Buffer): Promise<{ error: number; body: Buffer }> =>
      exchange(duplex, opcode, node, body);
    const name = (text: string): Buffer => Buffer.from(`${text}\0`);
    const invalid = -22;
    for (const wrong of ['..', '.', '', '../secret', 'a/b', '/etc/passwd'])
      assert.equal((await ask(1, 1n, name(wrong))).error, invalid, wrong);
    assert.equal((await ask(1, 1n, Buffer.from('unended'))).error, invalid);
    assert.equal((await ask(1, 1n, name('x'.repeat(300)))).error, -36);
    // A link out is found, and is no folder; nor is the volume's own root a node of a part of it.
    const link = await ask(1, 1n, name('out'));
    assert.equal(link.error, 0);
    assert.equal((await ask(1, link.body.readBigUInt64LE(0), name('secret'))).error, -116);
    const outside = BigInt(statSync(join(stand.root, 'hard')).ino);
    for (const node of [outside, 2n, 0n, 0xffffffffffffffffn])
      assert.equal((await ask(3, node, Buffer.alloc(16))).error, -116, String(node));
    assert.equal((await ask(9, 1n, Buffer.concat([Buffer.alloc(8), name('new')]))).error, -30);
    assert.equal((await ask(14, 1n, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]))).error, -30);
    assert.equal((await ask(16, 1n, Buffer.alloc(48))).error, -30);
    assert.equal((await ask(15, 1n, Buffer.alloc(7))).error < 0, true);
    assert.equal((await ask(31, 1n, Buffer.alloc(48))).error, -38);
    duplex.destroy();
    // Framing that cannot be: the stream ends, the process goes on.
    const broken = await files.fuse({ path: '/', readOnly: false });
    const ended = new Promise((resolve) => broken.once('close', resolve));
    broken.on('error', () => {});
    broken.write(Buffer.from([0xff, 0xff, 0xff, 0x7f]));
    broken.resume();
    await ended;
    assert.ok((await files.stat('/')).type === 'directory');
    assert.deepEqual(readdirSync(join(stand.root, 'mine')).includes('new'), false);
    assert.equal(readFileSync(join(stand.folder, 'secret'), 'utf8'), 'of the host');
  });
});

let unique = 0n;

/** One request, and its answer: nothing else is under way on the stream. */
async function exchange(
  duplex: Duplex,
  opcode: number,
  node: bigint,
  body: Buffer,
): Promise<{ error: number; body: Buffer }> {
  const head = Buffer.alloc(40);
  unique += 1n;
  head.writeUInt32LE(head.length + body.length, 0);
  head.writeUInt32LE(opcode, 4);
  head.writeBigUInt64LE(unique, 8);
  head.writeBigUInt64LE(node, 16);
  duplex.write(Buffer.concat([head, body]));
  let answer = Buffer.alloc(0);
  while (answer.length < 16 || answer.length < answer.readUInt32LE(0)) {
    const piece = duplex.read() as Buffer | null;
    if (piece === null) await new Promise((resolve) => duplex.once('readable', resolve));
    else answer = Buffer.concat([answer, piece]);
  }
  assert.equal(answer.readBigUInt64LE(8), unique);
  return { error: answer.readInt32LE(4), body: answer.subarray(16) };
}
