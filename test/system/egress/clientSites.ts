/** What the world's sites have to offer to clients: a repository, a package index of Python's and one of npm's. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../../src/base/child.ts';

const name = 'casemate-probe';
const version = '1.0.0';

/** Fills the folder that `worldSites.ts` serves. */
export async function fillSites(directory: string): Promise<void> {
  await repository(join(directory, 'git.world.test'));
  await pythonIndex(join(directory, 'pypi.world.test'));
  await npmIndex(join(directory, 'npm.world.test'));
}

async function repository(folder: string): Promise<void> {
  const work = join(folder, 'work');
  write(join(work, 'README'), 'cloned\n');
  const git = (...args: string[]): Promise<unknown> =>
    runCommand(['git', '-C', work, '-c', 'user.name=probe', '-c', 'user.email=probe@world.test', ...args]);
  await git('init', '--quiet');
  await git('add', 'README');
  await git('commit', '--quiet', '-m', 'Say so');
  await git('clone', '--quiet', '--bare', work, join(folder, 'probe.git'));
}

/** A wheel is a zip file with three more files in it. */
async function pythonIndex(folder: string): Promise<void> {
  const tree = join(folder, 'tree');
  const info = `casemate_probe-${version}.dist-info`;
  const wheel = `casemate_probe-${version}-py3-none-any.whl`;
  write(join(tree, 'casemate_probe.py'), 'said = "installed by pip"\n');
  write(join(tree, info, 'METADATA'), `Metadata-Version: 2.1\nName: ${name}\nVersion: ${version}\n`);
  write(
    join(tree, info, 'WHEEL'),
    'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  );
  const files = ['METADATA', 'WHEEL', 'RECORD'].map((file) => `${info}/${file}`);
  const record = ['casemate_probe.py', ...files].map((file) => `${file},,\n`).join('');
  write(join(tree, info, 'RECORD'), record);
  write(join(folder, 'simple', name, 'index.html'), `<a href="/files/${wheel}">${wheel}</a>\n`);
  mkdirSync(join(folder, 'files'));
  const zip = ['python3', '-m', 'zipfile', '-c', join(folder, 'files', wheel)];
  await runCommand([...zip, join(tree, 'casemate_probe.py'), join(tree, info)]);
}

async function npmIndex(folder: string): Promise<void> {
  const tree = join(folder, 'tree');
  const manifest = { name, version, main: 'index.js' };
  write(join(tree, 'package', 'package.json'), JSON.stringify(manifest));
  write(join(tree, 'package', 'index.js'), 'module.exports = "installed by npm";\n');
  const file = `${name}-${version}.tgz`;
  mkdirSync(join(folder, 'files'));
  await runCommand(['tar', '-C', tree, '-czf', join(folder, 'files', file), 'package']);
  const digest = createHash('sha512')
    .update(readFileSync(join(folder, 'files', file)))
    .digest('base64');
  const dist = { tarball: `https://npm.world.test/files/${file}`, integrity: `sha512-${digest}` };
  const packument = {
    name,
    'dist-tags': { latest: version },
    versions: { [version]: { ...manifest, dist } },
  };
  write(join(folder, name), JSON.stringify(packument));
}

function write(path: string, text: string): void {
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
}
