/** The guest protocol's constants for both languages, from schema/guest-protocol.json. */

export interface Protocol {
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

export function protocolTypescript({ types, ...scalars }: Protocol): string {
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

export function protocolGo({ types, ...scalars }: Protocol): string {
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
