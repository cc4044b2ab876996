/** Clients that no template has, packed for a sandbox: Python wheels, npm itself, packages of npm, Debian's psql. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../../src/base/child.ts';
import type { Sandbox } from '../../../sdk/typescript/src/index.ts';

export type KitPart = 'python' | 'npm' | 'undici' | 'ws' | 'psql';

const wheels = [
  'requests==2.34.2',
  'httpx[http2]==0.28.1',
  'aiohttp==3.14.5',
  'websockets==17.4',
  'grpcio==1.85.3',
];
const tarballs = { npm: 'npm@10.9.9', undici: 'undici@6.29.1' } as const;
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'casemate', 'egress-clients-1');
const repository = fileURLToPath(new URL('../../../', import.meta.url));
const postgres = '/usr/lib/postgresql/15/bin';

/** Where the parts lie in a sandbox: `python/`, `node/node_modules/npm`, `psql/`. */
export const kitFolder = '/opt/clients';
export const kitEnvironment = {
  PYTHONPATH: `${kitFolder}/python`,
  NODE_PATH: `${kitFolder}/node/node_modules`,
  LD_LIBRARY_PATH: `${kitFolder}/psql`,
};

/** Puts a part into a sandbox. @returns why it cannot be had here, where it cannot. */
export async function bring(sbx: Sandbox, part: KitPart): Promise<string | undefined> {
  const archive = join(cache, `${part}.tgz`);
  if (!existsSync(archive)) {
    const missing = await pack(part, archive).then(
      () => undefined,
      (error: unknown) => `${part} cannot be had here: ${String(error).slice(-200)}`,
    );
    if (missing !== undefined) return missing;
  }
  await sbx.files.write(`/tmp/${part}.tgz`, readFileSync(archive));
  const unpack = `mkdir -p ${kitFolder} && tar -C ${kitFolder} -xzf /tmp/${part}.tgz && rm /tmp/${part}.tgz`;
  const { exitCode, stderr } = await sbx.exec(unpack, { user: 'root', timeoutMs: 120_000 });
  return exitCode === 0 ? undefined : `${part} was not unpacked: ${stderr}`;
}

/** Made once a machine. */
async function pack(part: KitPart, archive: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), 'casemate-kit-'));
  try {
    await gather(part, work);
    const readable = ['--mode=a+rX', '-czf', `${archive}.partial`, '.'];
    await runCommand(['tar', '-C', work, ...readable], { timeoutMs: 120_000 });
    await rename(`${archive}.partial`, archive);
  } finally {
    await rm(work, { recursive: true });
  }
}

async function gather(part: KitPart, work: string): Promise<void> {
  const modules = join(work, 'node', 'node_modules');
  const shell = (script: string, ...args: string[]): Promise<unknown> =>
    runCommand(['sh', '-euc', script, ...args], { timeoutMs: 60_000 });
  switch (part) {
    case 'python': {
      const install = ['python3', '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
      const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
      const platforms = ['manylinux2014', 'manylinux_2_17', 'manylinux_2_28'];
      const forSandbox = platforms.flatMap((platform) => ['--platform', `${platform}_${machine}`]);
      const where = ['--target', join(work, 'python'), '--python-version', '3.11', '--only-binary=:all:'];
      await runCommand([...install, ...where, ...forSandbox, ...wheels], { timeoutMs: 180_000 });
      return;
    }
    case 'npm':
    case 'undici':
      await mkdir(join(modules, part), { recursive: true });
      await shell('npm pack --silent --pack-destination "$0" "$1"', work, tarballs[part]);
      await shell(
        'tar -C "$1" --strip-components=1 -xzf "$0"/*.tgz; rm "$0"/*.tgz',
        work,
        join(modules, part),
      );
      return;
    case 'ws':
      await mkdir(modules, { recursive: true });
      await shell('cp -rL "$0" "$1"', join(repository, 'node_modules', 'ws'), modules);
      return;
    case 'psql': {
      await mkdir(join(work, 'psql'));
      const library = 'ldd "$0" | sed -nE "s/.*=> (.*libpq.so.5) .*/\\1/p"';
      await shell(
        `cp "$0" "$1"; cp -L "$(${library})" "$1/libpq.so.5"`,
        join(postgres, 'psql'),
        join(work, 'psql'),
      );
    }
  }
}

/** Where Debian's PostgreSQL 15 is, or nothing. */
export const postgresPrograms = existsSync(join(postgres, 'initdb')) ? postgres : undefined;
