/** Two sandboxes with one volume: measures every row of the table in docs/guide/volumes.md, one of its columns. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '../../sdk/typescript/src/index.ts';
import { missingForServer, startServer, type TestServer } from './server.ts';

const guide = readFileSync(new URL('../../docs/guide/volumes.md', import.meta.url), 'utf8');

/** What the table says of a row and a column; undefined for `not always`, which no single measurement contradicts. */
function documented(row: string, column: string): boolean | undefined {
  const table = guide.split('\n').filter((text) => text.startsWith('|'));
  const cellsOf = (line = ''): string[] => line.split('|').map((cell) => cell.trim());
  const header = table.find((line) => cellsOf(line).includes(column));
  const cells = cellsOf(table.find((line) => cellsOf(line)[1] === row));
  const answer = cells[cellsOf(header).indexOf(column)];
  assert.match(answer ?? '', /^(yes|no|not always)$/, `the guide has no row "${row}" with "${column}"`);
  return answer === 'not always' ? undefined : answer === 'yes';
}

export function sharingSuite(column: string, runtimes: readonly [string, string]): void {
  describe(`two sandboxes with one volume, ${column}`, { skip: missingForServer() ?? false }, () => {
    let server: TestServer;
    let one: Sandbox;
    let other: Sandbox;
    before(async () => {
      server = await startServer();
      await server.client.volumes.create({ name: 'shared', quotaMib: 64 });
      const create = (runtime: string): Promise<Sandbox> =>
        Sandbox.create({
          url: server.url,
          apiKey: server.apiKey,
          template: 'python',
          runtime,
          timeoutMs: 600_000,
          volumes: [{ volume: 'shared', path: '/data' }],
        });
      [one, other] = await Promise.all([create(runtimes[0]), create(runtimes[1])]);
    });
    after(() => server.close());

    const python = async (sbx: Sandbox, program: string): Promise<string> => {
      const { stdout, stderr, exitCode } = await sbx.exec(['python3', '-c', program], { cwd: '/data' });
      assert.equal(exitCode, 0, stderr);
      return stdout.trim();
    };
    const check = (row: string, measured: boolean): void =>
      assert.equal(measured, documented(row, column) ?? measured, row);

    it('write', async () => {
      await python(one, 'open("w", "w").write("first")');
      await python(other, 'assert open("w").read() == "first"');
      await python(one, 'open("w", "w").write("second")');
      check('write', (await python(other, 'print(open("w").read())')) === 'second');
    });

    it('rename', async () => {
      const replace = `import os
for i in range(300):
    open("new", "w").write("x" * 5000); os.rename("new", "target")`;
      await python(one, replace);
      const read = `import os, time
seen = set(); end = time.time() + 20; open("ready", "w")
while time.time() < end and not os.path.exists("done"):
    try: seen.add(len(open("target").read()))
    except OSError as error: seen.add(error.strerror)
print(seen)`;
      const reading = python(other, read);
      await python(
        one,
        `import os, time
end = time.time() + 20
while not os.path.exists("ready") and time.time() < end: time.sleep(0.02)
${replace}
open("done", "w")`,
      );
      const seen = await reading;
      assert.deepEqual(seen.match(/\d+/g), ['5000'], `half a file: ${seen}`);
      check('rename', seen === '{5000}');
    });

    it('append', async () => {
      // Both hold the file open and write in turns: who believes in an old end of the file writes over the other's line.
      const append = (name: string, turn: number): string => `import os, time
fd = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
for i in range(10):
    end = time.time() + 10
    while not os.path.exists("turn%d" % (2 * i + ${turn})) and time.time() < end: time.sleep(0.005)
    os.write(fd, b"${name}%d\\n" % i); open("turn%d" % (2 * i + ${turn} + 1), "w")`;
      await python(one, 'open("turn0", "w")');
      await Promise.all([python(one, append('a', 0)), python(other, append('b', 1))]);
      const lines = await python(one, 'print(len(set(open("log").read().split())))');
      check('append', lines === '20');
    });

    for (const [row, take] of [
      ['flock', 'fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)'],
      ['fcntl lock', 'fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)'],
    ] as const) {
      it(row, async () => {
        const program = (then: string): string => `import fcntl, time
f = open("lock", "a")
try:
    ${take}; print("taken", flush=True)
except OSError: print("refused", flush=True)
${then}`;
        const holder = await one.spawn(['python3', '-c', program('time.sleep(30)')], { cwd: '/data' });
        await sleep(2000);
        const here = await python(one, program(''));
        const there = await python(other, program(''));
        await holder.kill();
        assert.equal(here, 'refused', 'inside one sandbox a lock is a lock');
        check(row, there === 'refused');
      });
    }

    it('mmap', async () => {
      await python(one, 'open("map", "wb").write(b"-" * 4096)');
      const mapped = `import mmap, time
f = open("map", "r+b"); m = mmap.mmap(f.fileno(), 4096); m[0]; print(chr(m[0]), flush=True)
end = time.time() + 10
while m[0] == ord("-") and time.time() < end: time.sleep(0.05)
print(chr(m[0]))`;
      const watching = python(other, mapped);
      await sleep(2000);
      await python(
        one,
        'import mmap\nf = open("map", "r+b"); m = mmap.mmap(f.fileno(), 4096); m[0] = ord("x"); m.flush()',
      );
      check('mmap read', (await python(other, 'print(open("map", "rb").read(1).decode())')) === 'x');
      check('mmap', (await watching) === '-\nx');
    });
  });
}
