/** What an archive of a volume keeps of its files: the jailed process makes one, and another volume's unpacks it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missingForServer } from './system/server.ts';
import { tarOf } from './tar.ts';
import { pieces, VolumeStand } from './volumeStand.ts';

describe('an archive of a volume', { skip: missingForServer() ?? false }, () => {
  const [source, target] = [new VolumeStand(), new VolumeStand()];
  before(() => Promise.all([source.make(), target.make()]));
  after(() => Promise.all([source.close(), target.close()]));

  const python = (program: string, ...args: string[]): string =>
    execFileSync('python3', ['-c', `import os, sys\n${program}`, ...args]).toString();

  /** A tree with everything that a volume keeps. */
  function lay(root: string): void {
    mkdirSync(join(root, 'deep/er'), { recursive: true });
    writeFileSync(join(root, 'deep/er/file'), 'words');
    linkSync(join(root, 'deep/er/file'), join(root, 'second'));
    symlinkSync('/etc/passwd', join(root, 'link'));
    symlinkSync('no such thing', join(root, 'deep/dangling'));
    const name = Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x0a, 0x20])]); // no UTF-8, a line feed
    writeFileSync(name, 'strange');
    writeFileSync(join(root, 'empty'), '');
    const holes = openSync(join(root, 'holes'), 'w');
    writeSync(holes, 'begin', 0);
    writeSync(holes, 'middle', 8_000_000);
    closeSync(holes);
    truncateSync(join(root, 'holes'), 20_000_000);
    python(
      'os.setxattr(sys.argv[1], "user.colour", b"gr\\xfcn\\0\\n="); os.setxattr(sys.argv[2], "user.empty", b"")',
      join(root, 'deep/er/file'),
      join(root, 'deep'),
    );
    chmodSync(join(root, 'deep/er/file'), 0o640);
    chmodSync(join(root, 'deep'), 0o1750);
    chownSync(join(root, 'deep/er/file'), 12, 13);
    chownSync(join(root, 'deep'), 1000, 100);
    // Folders last, and to the nanosecond: what is laid into them changes their times.
    const paths = ['deep/er/file', 'link', 'deep/dangling', 'holes', 'empty', 'deep/er', 'deep'];
    python(
      'for n, path in enumerate(sys.argv[1:]): os.utime(path, ns=(5, 1234567890123456789 + n * 10**12), follow_symlinks=False)',
      ...paths.map((path) => join(root, path)),
    );
  }

  /** All that can be seen of a tree, a line for each of it. */
  const seen = (root: string): string[] =>
    execFileSync('find', ['.', '-mindepth', '1', '-printf', '%p|%y|%m|%U:%G|%s|%T@|%l|%n\\0'], { cwd: root })
      .toString('latin1')
      .split('\0')
      .map((line) => (/\|d\|/.test(line) ? line.replace(/\|\d+\|(\d+\.\d+)/, '|$1') : line)) // folders differ in size
      .filter((line) => line !== '')
      .sort();

  it('keeps owners, modes, times, links, strange names, extended attributes and holes', async () => {
    lay(source.root);
    const [from, to] = [await source.attach(), await target.attach()];
    const archive = await from.archive('/');
    const done = await to.extract({ path: '/' }, archive.body);
    assert.deepEqual(await archive.counted(), done);
    assert.deepEqual(done, { entries: 9, bytes: 20_000_000 + 'words'.length + 'strange'.length });
    const expected = seen(source.root);
    assert.equal(expected.length, 9);
    assert.match(expected.join('\n'), /^\.\/deep\|d\|1750\|1000:100\|1234573890\.1234567890\|/m);
    assert.deepEqual(seen(target.root), expected);
    assert.equal(statSync(join(target.root, 'second')).ino, statSync(join(target.root, 'deep/er/file')).ino);
    assert.ok(readFileSync(join(target.root, 'holes')).equals(readFileSync(join(source.root, 'holes'))));
    assert.ok(statSync(join(target.root, 'holes')).blocks < 100, 'its holes are there again');
    assert.equal(readlinkSync(join(target.root, 'link')), '/etc/passwd');
    const attributes = 'for p in sys.argv[1:]: print({n: os.getxattr(p, n) for n in os.listxattr(p)})';
    const files = ['deep/er/file', 'deep', 'empty'];
    assert.equal(
      python(attributes, ...files.map((path) => join(target.root, path))),
      "{'user.colour': b'gr\\xfcn\\x00\\n='}\n{'user.empty': b''}\n{}\n",
    );
    from.close();
    to.close();
  });

  it('keeps no rights: neither set-id bits nor attributes of the kernel', async () => {
    const to = await target.attach();
    const record = (key: string, value: string): string => {
      const rest = ` ${key}=${value}\n`;
      return `${rest.length + 2}${rest}`; // two digits for these
    };
    const records = record('SCHILY.xattr.security.capability', 'x') + record('SCHILY.xattr.user.kept', 'yes');
    await to.extract(
      { path: '/' },
      pieces(
        tarOf([
          { name: 'pax', type: 'x', content: records },
          { name: 'program', type: '0', content: 'x', mode: 0o6755 },
        ]),
      ),
    );
    const program = join(target.root, 'program');
    assert.equal(lstatSync(program).mode & 0o7777, 0o755);
    assert.equal(python('print(os.listxattr(sys.argv[1]))', program), "['user.kept']\n");
    to.close();
  });
});
