/** docs/reference/config.md: flags of the server, variables, and the folders that it keeps. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createProgram } from '../../src/cli/program.ts';
import { pathsOf } from '../../src/base/config.ts';
import { fieldComments } from './comments.ts';
import { pageHead, table } from './markdown.ts';
import { withoutSettings } from './settings.ts';

const repository = new URL('../../', import.meta.url);

/** What each variable is for; `namedVariables` holds this against the code. */
const variables: Readonly<Record<string, string>> = {
  CASEMATE_URL: 'SDK and CLI: where the server is; `http://127.0.0.1:7070` by default.',
  CASEMATE_API_KEY: 'SDK and CLI: the API key.',
  CASEMATE_KEY_FILE:
    'CLI: a file that holds the API key; the first key of a server on this machine by default.',
  CASEMATE_DATA_DIR: '`serve`, `doctor` and the CLI’s search for the first key: the data directory.',
  CASEMATE_SECRET_KEY:
    '`serve`: the key that secrets are sealed with, 32 bytes in hex or base64; it wins over the flags.',
  CASEMATE_STORE_DIR:
    'Server, `make templates`: the folder of built templates, to share one between data directories.',
  CASEMATE_LIB_DIR: 'Server, set-up: the folder of runtimes that are newer than the machine’s own.',
  CASEMATE_FIRECRACKER:
    'Server, `doctor`, `make test-kvm`: a Firecracker program, 1.12 or newer, its `jailer` beside it.',
  CASEMATE_CLOUD_HYPERVISOR:
    'Server, `doctor`, `make test-kvm`: a static Cloud Hypervisor program, 52 or newer.',
  CASEMATE_DEMO_LOG: '`make demo`: set to anything, it shows the server’s log.',
};

export function configPage(): string {
  return `${pageHead('Configuration', 'src/cli/serve.ts, src/base/config.ts and the code that reads variables')}
There is no configuration file. A server takes flags; pools that were set through the API are kept in its store.

## Flags of \`casemate serve\`

${table(['Flag', 'Default', 'What it sets'], withoutSettings(serveFlags))}

## Variables

Flags win over variables.

${table(['Variable', 'What it sets'], namedVariables())}

## Folders

${table(['Name', 'Where', 'What lies there'], withoutSettings(folders))}
`;
}

function serveFlags(): string[][] {
  const serve = createProgram().commands.find((command) => command.name() === 'serve');
  return (serve?.options ?? [])
    .filter(({ hidden }) => !hidden)
    .map(({ flags, defaultValue, description }) => [`\`${flags}\``, shown(defaultValue), description]);
}

function shown(value: unknown): string {
  return value === undefined || (Array.isArray(value) && value.length === 0) ? '–' : `\`${String(value)}\``;
}

/** @throws Error where the code reads a variable that is not described, or one is described that nothing reads. */
function namedVariables(): string[][] {
  const read = new Set<string>();
  for (const folder of ['src', 'sdk/typescript/src', 'scripts', 'examples']) {
    const names = readdirSync(new URL(folder, repository), { recursive: true, encoding: 'utf8' });
    for (const name of names.filter(
      (file) => /(?<!\.test)\.(ts|sh)$/.test(file) && !file.startsWith('generate'),
    )) {
      const text = readFileSync(new URL(`${folder}/${name}`, repository), 'utf8');
      for (const [, variable] of text.matchAll(/(?:\.env(?:\.|\(')|environment\('|\$\{)(CASEMATE_\w+)/g))
        if (variable !== undefined) read.add(variable);
    }
  }
  const differing = [...read].filter((name) => variables[name] === undefined);
  differing.push(...Object.keys(variables).filter((name) => !read.has(name)));
  if (differing.length > 0)
    throw new Error(`scripts/generate/configPage.ts and the code differ: ${differing}`);
  return Object.entries(variables).map(([name, what]) => [`\`${name}\``, what]);
}

function folders(): string[][] {
  const comments = fieldComments(readFileSync(new URL('src/base/config.ts', repository), 'utf8'));
  return Object.entries(pathsOf('<data-dir>')).map(([name, path]) => [
    `\`${name}\``,
    `\`${String(path).replace(fileURLToPath(repository), '<repository>/')}\``,
    comments.get(name) ?? '',
  ]);
}
