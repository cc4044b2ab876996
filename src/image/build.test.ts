/** Builds a small template for real, and shows that a build which is killed leaves nothing behind on the host. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../base/child.ts';
import { type BuildProgress, buildRootfs } from './build.ts';
import type { TemplateDefinition } from './definition.ts';

const tiny: TemplateDefinition = {
  name: 'tiny',
  suite: 'bookworm',
  packages: ['sudo'],
  user: { name: 'user', uid: 1000, sudo: true },
};
const skip = reasonToSkip();
let folder: string;

function reasonToSkip(): string | false {
  if (process.getuid?.() !== 0) return 'building a root file system needs root';
  return spawnSync('mmdebstrap', ['--version']).error === undefined ? false : 'mmdebstrap is not installed';
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'casemate-build-'));
});

after(() => runCommand(['rm', '-rf', '--one-file-system', folder]));

it('makes a root file system with its user and no trace of the host', { skip }, async () => {
  const root = join(folder, 'whole');
  const seen: BuildProgress[] = [];
  const umask = process.umask(0o077); // as on a hardened host
  try {
    await buildRootfs(tiny, root, (progress) => seen.push(progress));
  } finally {
    process.umask(umask);
  }
  const read = (path: string): string => readFileSync(join(root, path), 'utf8');
  assert.deepEqual(readdirSync(folder), ['whole']);
  assert.match(read('etc/passwd'), /^user:x:1000:1000:.*:\/home\/user:\/bin\/bash$/m);
  assert.equal(read('etc/sudoers.d/user'), 'user ALL=(ALL) NOPASSWD:ALL\n');
  assert.equal(read('etc/resolv.conf') + read('etc/machine-id'), 'nameserver 198.18.0.1\n');
  assert.deepEqual(readdirSync(join(root, '.casemate')), []);
  assert.equal(statSync(join(root, 'etc/hosts')).mode & 0o777, 0o644);
  assert.equal(statSync(join(root, 'home/user')).uid, 1000);
  const percents = seen.map(({ percent }) => percent);
  assert.ok(percents.length >= 6, JSON.stringify(seen));
  assert.deepEqual(
    percents,
    [...percents].sort((a, b) => a - b),
  );
});

it('says what mmdebstrap said when it fails', { skip }, async () => {
  const wrong = { ...tiny, packages: ['no-such-package-in-debian'] };
  await assert.rejects(
    buildRootfs(wrong, join(folder, 'wrong'), () => {}),
    /no-such-package-in-debian/,
  );
});

it('leaves no process and no mount when the builder is killed in the middle', { skip }, async () => {
  const root = join(folder, 'killed');
  const program = `import { buildRootfs } from ${JSON.stringify(new URL('./build.ts', import.meta.url).href)};
    await buildRootfs(${JSON.stringify(tiny)}, ${JSON.stringify(root)}, ({ phase }) => console.log(phase));`;
  const builder = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await phaseOf(builder, 'extract');
  assert.ok(readdirSync(`${root}.tmp`).length > 0, 'its temporary files lie beside it');
  assert.ok(processesNaming(root) > 1);
  builder.kill('SIGKILL');
  for (let round = 0; round < 50 && processesNaming(root) > 0; round += 1) await sleep(100);
  assert.equal(processesNaming(root), 0);
  assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(root));
});

function phaseOf(builder: ChildProcess, wanted: string): Promise<void> {
  return new Promise((resolve, reject) => {
    builder.once('exit', () => reject(new Error('the build ended before it could be killed')));
    builder.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes(wanted)) resolve();
    });
  });
}

/** Programs of the build, by their command lines; the builder's own carries the path as well until it is dead. */
function processesNaming(path: string): number {
  const commandLines = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && existsSync(`/proc/${name}/cmdline`))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/cmdline`, 'utf8');
      } catch {
        return ''; // it ended meanwhile
      }
    });
  return commandLines.filter((line) => line.includes(path)).length;
}
