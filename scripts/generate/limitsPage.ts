/** docs/reference/limits.md: every bound with its value and what it bounds. */
import { readFileSync } from 'node:fs';
import { limits } from '../../src/base/limits.ts';
import { fieldComments } from './comments.ts';
import { pageHead, table } from './markdown.ts';

const source = new URL('../../src/base/limits.ts', import.meta.url);

export function limitsPage(): string {
  const comments = fieldComments(readFileSync(source, 'utf8'));
  const rows = Object.entries(limits).map(([name, value]) => [
    `\`${name}\``,
    readable(name, value),
    comments.get(name) ?? '',
  ]);
  return `${pageHead('Limits', 'src/base/limits.ts')}
Bounds that are built in. What one sandbox may use (processors, memory, disk, processes) is asked for when it is
created, see [Limits of a sandbox](../operating/limits.md); what each field of a request may hold stands in
[HTTP API](http-api.md).

${table(['Name', 'Value', 'What it bounds'], rows)}
`;
}

/** The number with the unit that its name ends in, before \`Max\`, \`Min\` or \`Default\`. */
function readable(name: string, value: number): string {
  const unit = name.replace(/(Max|Min|Default)$/, '');
  if (unit.endsWith('Ms')) return value >= 3_600_000 ? `${value / 3_600_000} h` : `${value / 1000} s`;
  if (unit.endsWith('Mib')) return `${value.toLocaleString('en-US')} MiB`;
  if (!unit.endsWith('Bytes')) return value.toLocaleString('en-US');
  return value >= 1024 * 1024 ? `${value / (1024 * 1024)} MiB` : `${value / 1024} KiB`;
}
