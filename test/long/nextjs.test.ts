/** E2B's topic of a Next.js app, in both languages: npm inside reaches this machine's registry, and the preview answers. */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type DomainServer, startDomainServer } from '../system/domain.ts';
import { pythonWith, run, scriptArgv } from '../system/python.ts';
import { missingForRegistry, startRegistry, type TestRegistry } from '../system/registry.ts';
import { missingForServer } from '../system/server.ts';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const resolving = (language: string): string => join(repository, 'test/system/e2b_domain', language);
const wanted =
  /^200 <h1>Hello from a sandbox<\/h1>\n200 \{"sum":42\}\n200 <h1>Hello from another page<\/h1>$/m;
const skip = missingForServer() ?? missingForRegistry() ?? false;

describe('a Next.js app that was written for E2B', { skip }, () => {
  let registry: TestRegistry | undefined;
  let domain: DomainServer | undefined;
  let node: { folder: string; missing?: string };
  before(async () => {
    node = await nodeAndNpm();
    if (node.missing !== undefined) return;
    const source = (await run('npm', ['config', 'get', 'registry'], {})).output.trim();
    registry = await startRegistry({
      'node:24-slim': {
        ...{ template: 'base', layer: node.folder, trustsHost: true },
        config: [
          ...['--config.env', 'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'],
          ...['--config.env', `NPM_CONFIG_REGISTRY=${source}`],
        ],
      },
    });
    domain = await startDomainServer('own', ['--registry', registry.flag]);
  });
  after(async () => {
    await domain?.close();
    await registry?.close();
    rmSync(node.folder, { recursive: true });
  });

  it('works in JavaScript', async (test) => {
    if (domain === undefined) return test.skip(node.missing);
    const argv = ['--disable-warning=ExperimentalWarning', '--import', resolving('resolve.ts')];
    const program = join(repository, 'examples/e2b/nextjs.ts');
    const { code, output } = await run(process.execPath, [...argv, program], domain.env);
    assert.equal(code, 0, output);
    assert.match(output, wanted);
  });

  it('works in Python', async (test) => {
    if (domain === undefined) return test.skip(node.missing);
    const python = await pythonWith('e2b-python-2.63.0', ['e2b==2.63.0']);
    if (python.missing !== undefined) return test.skip(python.missing);
    // Its client resolves names by itself, so it is told where the server is; the preview goes by the domain.
    const { url } = domain.server;
    const where = { E2B_API_URL: url, E2B_SANDBOX_URL: url, PYTHONPATH: resolving('python') };
    const program = join(repository, 'examples/e2b/nextjs.py');
    const { code, output } = await run(python.path, scriptArgv(program), { ...domain.env, ...where });
    assert.equal(code, 0, output);
    assert.match(output, wanted);
  });
});

/** What the image of that name has and no template: this repository's Node, and npm from its registry. */
async function nodeAndNpm(): Promise<{ folder: string; missing?: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'casemate-node-'));
  chmodSync(folder, 0o755); // it becomes the image's root
  const [bin, modules] = [join(folder, 'usr/local/bin'), join(folder, 'usr/local/lib/node_modules')];
  for (const made of [bin, modules]) mkdirSync(made, { recursive: true });
  const packed = await run('npm', ['pack', 'npm@11', '--silent'], {}, modules);
  const file = packed.output.trim();
  if (packed.code !== 0) return { folder, missing: `npm's registry cannot be reached: ${file.slice(-200)}` };
  const unpacked = await run('tar', ['-xzf', file, '--no-same-owner'], {}, modules);
  assert.equal(unpacked.code, 0, unpacked.output);
  rmSync(join(modules, file));
  renameSync(join(modules, 'package'), join(modules, 'npm'));
  for (const name of ['npm', 'npx'])
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(bin, name));
  copyFileSync(process.execPath, join(bin, 'node'));
  chmodSync(join(bin, 'node'), 0o755);
  return { folder };
}
