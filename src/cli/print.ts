/** How the CLI prints: tables for people, one JSON object a line for machines. */
import type { Command } from 'commander';
import { globalFlags } from './connection.ts';
import { harmless, jsonLine } from './harmless.ts';

/** Prints rows as a table, or each as JSON. */
export function printRows<Row extends object>(
  program: Command,
  rows: readonly Row[],
  columns: Readonly<Record<string, (row: Row) => string | number | undefined>>,
): void {
  if (globalFlags(program).json === true) {
    for (const row of rows) process.stdout.write(jsonLine(row));
    return;
  }
  const names = Object.keys(columns);
  const cells = rows.map((row) => Object.values(columns).map((cell) => harmless(String(cell(row) ?? ''))));
  const widths = names.map((name, index) =>
    Math.max(name.length, ...cells.map((line) => line[index]?.length ?? 0)),
  );
  for (const line of [names, ...cells]) {
    process.stdout.write(
      `${line
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
    );
  }
}

/** Prints one thing: a line for people, JSON for machines. */
export function printOne(program: Command, value: object, line: string): void {
  process.stdout.write(globalFlags(program).json === true ? jsonLine(value) : `${line}\n`);
}

/** Writes and waits where the reader is slow. @throws where nobody reads any more (`… | head`). */
export function writeOut(stream: NodeJS.WriteStream, data: Uint8Array | string): Promise<void> {
  if (stream.errored !== null) return Promise.reject(stream.errored);
  if (stream.write(data)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const onDrain = (): void => {
      stream.off('error', onError);
      resolve();
    };
    const onError = (error: Error): void => {
      stream.off('drain', onDrain);
      reject(error);
    };
    stream.once('drain', onDrain).once('error', onError);
  });
}
