/** Makes JavaScript with types of the .proto files in schema/e2b, without the comments that double their length. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const folder = 'schema/e2b';

/** Each file that has to be there, and what has to stand in it. */
export function generatedServices(): [file: string, text: string][] {
  const out = mkdtempSync(join(tmpdir(), 'casemate-generate-'));
  const plugin = { local: ['node_modules/.bin/protoc-gen-es'], out, opt: ['target=js+dts'] };
  const template = { version: 'v2', inputs: [{ directory: '.' }], plugins: [plugin] };
  const config = { version: 'v2', modules: [{ path: folder }] };
  try {
    execFileSync(
      'node_modules/.bin/buf',
      ['generate', '--config', JSON.stringify(config), '--template', JSON.stringify(template)],
      { cwd: repository, stdio: ['ignore', 'inherit', 'inherit'] },
    );
    return readdirSync(out).map((name) => [
      `${folder}/${name}`,
      bare(name, readFileSync(join(out, name), 'utf8')),
    ]);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

function bare(name: string, text: string): string {
  const source = name.replace(/_pb\..*$/, '.proto');
  const code = text
    .replaceAll(/^\s*\/\*\*[\s\S]*?\*\/\n/gm, '')
    .replaceAll(/^(?:\/\/.*|\/\* eslint-disable \*\/)\n/gm, '')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim();
  return `/** Generated from ${folder}/${source} by \`npm run generate\`: the messages and the service. */\n${code}\n`;
}
