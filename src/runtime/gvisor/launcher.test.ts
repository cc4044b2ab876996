/** The launcher, with Python in the place of runsc: it tells where it finds itself. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { launcher } from './launch.ts';

const namespace = `cm-launch-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), 'casemate-launcher-'));
const group = join(folder, 'group');
const output = join(folder, 'output');

/** What it prints: network devices, what is left of the hidden folder, mount namespace, error number, stdin, pid. */
const program = `
import ctypes, json, os, platform
libc = ctypes.CDLL(None, use_errno=True)
setCpuid = libc.syscall(158, 0x1012, 0) if platform.machine() == 'x86_64' else -1
print(json.dumps({
  'devices': [l.split(':')[0].strip() for l in open('/proc/self/net/dev').readlines()[2:]],
  'hidden': os.listdir('/proc/sys/net/core') if os.path.isdir('/proc/sys/net/core') else [],
  'mounts': os.readlink('/proc/self/ns/mnt'), 'error': ctypes.get_errno(), 'set': setCpuid,
  'stdin': os.read(0, 5).decode(), 'stderr': os.readlink('/proc/self/fd/2'), 'pid': os.getpid()}))
`;

before(() => {
  execFileSync('ip', ['netns', 'add', namespace]);
  writeFileSync(group, '');
  writeFileSync(output, '');
  writeFileSync(join(folder, 'input'), 'hello');
});

after(() => {
  execFileSync('ip', ['netns', 'del', namespace]);
  rmSync(folder, { recursive: true, force: true });
});

function launch(network: string, argv: readonly string[]): { status: number | null; stderr: string } {
  const run = spawnSync(launcher, [network, join(folder, 'input'), output, group, ...argv], {
    encoding: 'utf8',
  });
  return { status: run.status, stderr: run.stderr };
}

test('becomes the program in the namespaces, groups and streams of the sandbox', () => {
  const { status, stderr } = launch(`/run/netns/${namespace}`, ['/usr/bin/python3', '-c', program]);
  assert.equal(status, 0, stderr);
  const told = JSON.parse(readFileSync(output, 'utf8')) as Record<string, unknown>;
  assert.deepEqual(told.devices, ['lo']);
  assert.deepEqual(told.hidden, []);
  assert.equal(told.stdin, 'hello');
  assert.equal(told.stderr, '/dev/null');
  assert.notEqual(told.mounts, execFileSync('readlink', ['/proc/self/ns/mnt'], { encoding: 'utf8' }).trim());
  assert.equal(
    readFileSync(group, 'utf8'),
    String(told.pid),
    'it keeps its process id, which the group was told',
  );
  // ENODEV: what a processor answers that cannot trap CPUID.
  assert.deepEqual([told.set, process.arch === 'x64' ? told.error : 19], [-1, 19]);
});

test('says what it could not do, and starts nothing', () => {
  const missing = launch('/run/netns/no-such', ['/usr/bin/true']);
  assert.equal(missing.status, 125);
  assert.match(missing.stderr, /network namespace \/run\/netns\/no-such: no such file/);
  const nothing = launch(`/run/netns/${namespace}`, ['/no/such/runsc']);
  assert.equal(nothing.status, 125);
  assert.match(nothing.stderr, /\/no\/such\/runsc: no such file/);
});
