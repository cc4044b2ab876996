/** Makes code of schema/: the guest protocol's constants for both languages, E2B's services; `--check` only compares. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { generatedServices } from './generateServices.ts';

interface Protocol {
  readonly version: number;
  readonly magic: number;
  readonly marker: string;
  readonly headerBytes: number;
  readonly payloadBytesMax: number;
  readonly resyncPaddingBytes: number;
  readonly windowBytes: number;
  readonly streamsMax: number;
  readonly flagEnd: number;
  readonly types: Readonly<Record<string, number>>;
}

const repository = new URL('../', import.meta.url);
const protocol = JSON.parse(
  readFileSync(new URL('schema/guest-protocol.json', repository), 'utf8'),
) as Protocol;
const { types, ...scalars } = protocol;

function typescript(): string {
  const lines = Object.entries(scalars).map(([name, value]) => `  ${name}: ${literal(value)},`);
  const typeLines = Object.entries(types).map(([name, value]) => `    ${name}: ${value},`);
  return `/** Generated from schema/guest-protocol.json by \`npm run generate\`: the constants of the guest protocol. */
export const protocol = {
${lines.join('\n')}
  types: {
${typeLines.join('\n')}
  },
} as const;
`;
}

function literal(value: string | number): string {
  return typeof value === 'number' ? String(value) : `'${value.replaceAll('\n', '\\n')}'`;
}

function go(): string {
  const rows: [string, string][] = [
    ...Object.entries(scalars).map(([name, value]): [string, string] => [
      goName('proto', name),
      JSON.stringify(value),
    ]),
    ...Object.entries(types).map(([name, value]): [string, string] => [goName('frame', name), String(value)]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `\t${name.padEnd(width)} = ${value}`);
  return `// Code generated from schema/guest-protocol.json by "npm run generate". DO NOT EDIT.

package main

const (
${lines.join('\n')}
)
`;
}

function goName(prefix: string, name: string): string {
  return prefix + name.charAt(0).toUpperCase() + name.slice(1);
}

const outputs: [file: string, text: string][] = [
  ['src/guest/protocol.gen.ts', typescript()],
  ['guest-agent/protocol_gen.go', go()],
  ...generatedServices(),
];
for (const [file, text] of outputs) {
  const url = new URL(file, repository);
  if (!process.argv.includes('--check')) writeFileSync(url, text);
  else if (!existsSync(url) || readFileSync(url, 'utf8') !== text) {
    console.error(`${file} is stale: run \`npm run generate\``);
    process.exitCode = 1;
  }
}
