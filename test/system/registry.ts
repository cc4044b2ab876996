/** A registry on loopback with base images made of Debian packages, under the names that people use. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCommand } from '../../src/base/child.ts';
import { defaultDataDir } from '../../src/base/config.ts';
import { digestOf, readDefinition } from '../../src/image/definition.ts';

export interface TestRegistry {
  /** As `casemate serve --registry` takes it. */
  readonly flag: string;
  readonly url: string;
  /** Made and pushed: `debian:12` and the like. */
  close(): Promise<void>;
}

/** Why no registry can run here. */
export function missingForRegistry(): string | undefined {
  const missing = ['docker-registry', 'skopeo', 'umoci'].filter(
    (tool) => spawnSync(tool, ['--version']).error !== undefined,
  );
  return missing.length === 0 ? undefined : `${missing.join(', ')} are not installed`;
}

export interface TestImage {
  /** The shipped template whose root it is made of. */
  readonly template: string;
  /** Flags of `umoci config`. */
  readonly config?: readonly string[];
  /** Paths of the root that it has; all of them by default. */
  readonly only?: readonly string[];
  /** A folder of this machine that lies over the root. */
  readonly layer?: string;
  /** Whether it trusts whom this machine trusts, as a company's own images do. */
  readonly trustsHost?: boolean;
}

/** A shell and little else: quick to fetch and unpack. */
export const smallRoot: readonly string[] = [
  ...['bin', 'lib', 'lib64', 'etc/group', 'usr/lib64'].map((path) => `./${path}`),
  ...['bash', 'dash', 'sh', 'cat', 'id', 'ls', 'stat'].map((name) => `./usr/bin/${name}`),
  ...['libc.so.6', 'ld-linux-x86-64.so.2', 'libtinfo.so.6', 'libtinfo.so.6.4'].map(
    (name) => `./usr/lib/x86_64-linux-gnu/${name}`,
  ),
  ...['libselinux.so.1', 'libpcre2-8.so.0', 'libpcre2-8.so.0.11.2'].map(
    (name) => `./usr/lib/x86_64-linux-gnu/${name}`,
  ),
];

export async function startRegistry(images: Readonly<Record<string, TestImage>>): Promise<TestRegistry> {
  const folder = await mkdtemp(join(tmpdir(), 'casemate-registry-'));
  const port = await freePort();
  writeFileSync(
    join(folder, 'config.yml'),
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${folder}/data}}\nhttp: {addr: "127.0.0.1:${port}"}\n`,
  );
  const registry = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: 'ignore' });
  try {
    await answers(`http://127.0.0.1:${port}/v2/`);
    const layout = join(folder, 'layout');
    await runCommand(['umoci', 'init', '--layout', layout]);
    for (const [name, made] of Object.entries(images)) {
      const image = `${layout}:${name.replaceAll(/[^a-z0-9]/g, '-')}`;
      await makeImage(image, made);
      const target = `docker://127.0.0.1:${port}/${name.includes('/') ? name : `library/${name}`}`;
      await runCommand(
        ['skopeo', '--insecure-policy', 'copy', '--dest-tls-verify=false', `oci:${image}`, target],
        { timeoutMs: 120_000 },
      );
    }
    await rm(layout, { recursive: true });
  } catch (error) {
    await stop(registry, folder);
    throw error;
  }
  const url = `http://127.0.0.1:${port}`;
  return { flag: `hub=${url}`, url, close: () => stop(registry, folder) };
}

async function makeImage(
  image: string,
  { template, config = [], only = ['.'], layer, trustsHost = false }: TestImage,
): Promise<void> {
  await runCommand(['umoci', 'new', '--image', image]);
  const root = join(storeDir(), 'templates', digestOf(await readDefinition(template)), 'rootfs');
  const tar = `${image.split(':')[0]}.tar`;
  // Without what makes it a template: an image knows nothing of sandboxes.
  const without = ['./.casemate/*', './home/user', './usr/local/bin/sudo', './etc/resolv.conf'];
  await runCommand(
    [
      'tar',
      '-C',
      root,
      ...without.map((path) => `--exclude=${path}`),
      '--numeric-owner',
      '-cf',
      tar,
      ...only,
    ],
    { timeoutMs: 120_000 },
  );
  await runCommand(['umoci', 'raw', 'add-layer', '--image', image, tar], { timeoutMs: 300_000 });
  const more: [folder: string, path: string][] = [];
  if (layer !== undefined) more.push([layer, '.']);
  if (trustsHost) more.push(['/', './etc/ssl/certs/ca-certificates.crt']);
  for (const [folder, path] of more) {
    await runCommand(['tar', '-C', folder, '--owner=0', '--group=0', '-cf', tar, path], {
      timeoutMs: 60_000,
    });
    await runCommand(['umoci', 'raw', 'add-layer', '--image', image, tar], { timeoutMs: 60_000 });
  }
  await rm(tar);
  const flags = [
    '--clear=config.env',
    '--config.env',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ...config,
  ];
  await runCommand(['umoci', 'config', '--image', image, ...flags], { timeoutMs: 60_000 });
}

function storeDir(): string {
  return process.env.CASEMATE_STORE_DIR ?? join(defaultDataDir, 'store');
}

async function answers(url: string): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.arrayBuffer();
    if (answer?.ok === true) return;
    await sleep(100);
  }
  throw new Error('the registry does not answer');
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function stop(registry: ChildProcess, folder: string): Promise<void> {
  const gone = new Promise<void>((resolve) => registry.once('exit', () => resolve()));
  if (registry.exitCode === null && registry.kill()) await gone;
  await rm(folder, { recursive: true, force: true });
}

/** Writes a small build context. */
export function writeFiles(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}
