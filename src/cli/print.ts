/** How the CLI prints: tables for people, one JSON object a line for machines. */
import type { Command } from 'commander';
import { globalFlags } from './connection.ts';

/** Takes control characters out of text that a sandbox may have chosen, so that it cannot steer a terminal. */
export function harmless(text: string): string {
  return [...text].map((character) => (isControl(character.codePointAt(0) ?? 0) ? '�' : character)).join('');
}

function isControl(code: number): boolean {
  return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/** Prints rows as a table, or each as JSON. */
export function printRows<Row extends object>(
  program: Command,
  rows: readonly Row[],
  columns: Readonly<Record<string, (row: Row) => string | number | undefined>>,
): void {
  if (globalFlags(program).json === true) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
    return;
  }
  const names = Object.keys(columns);
  const cells = rows.map((row) => Object.values(columns).map((cell) => harmless(String(cell(row) ?? ''))));
  const widths = names.map((name, index) => Math.max(name.length, ...cells.map((line) => line[index]?.length ?? 0)));
  for (const line of [names, ...cells]) {
    process.stdout.write(`${line.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ').trimEnd()}\n`);
  }
}

/** Prints one thing: a line for people, JSON for machines. */
export function printOne(program: Command, value: object, line: string): void {
  process.stdout.write(globalFlags(program).json === true ? `${JSON.stringify(value)}\n` : `${line}\n`);
}

/** Writes and waits where the reader is slow. */
export function writeOut(stream: NodeJS.WriteStream, data: Uint8Array): Promise<void> {
  if (stream.write(data)) return Promise.resolve();
  return new Promise((resolve) => stream.once('drain', resolve));
}
