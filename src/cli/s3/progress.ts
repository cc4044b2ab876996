/** How far an export or an import is: a line that is written over, lines, or JSON events. */
import type { Command } from 'commander';
import { globalFlags } from '../connection.ts';
import { jsonLine } from '../harmless.ts';

/** How often it is told, to people and to machines. */
const everyMs = { terminal: 100, lines: 2000, json: 1000 };

export class Progress {
  files = 0;
  bytes = 0;
  readonly #how: 'terminal' | 'lines' | 'json';
  #toldAtMs = Date.now();

  constructor(program: Command) {
    const json = globalFlags(program).json === true;
    this.#how = json ? 'json' : process.stderr.isTTY ? 'terminal' : 'lines';
  }

  add(part: { files?: number; bytes?: number }): void {
    this.files += part.files ?? 0;
    this.bytes += part.bytes ?? 0;
    if (Date.now() - this.#toldAtMs < everyMs[this.#how]) return;
    this.#toldAtMs = Date.now();
    const { files, bytes } = this;
    if (this.#how === 'json') process.stdout.write(jsonLine({ type: 'progress', files, bytes }));
    else process.stderr.write(this.#how === 'terminal' ? `\r${this.text()}\x1b[K` : `${this.text()}\n`);
  }

  text(): string {
    return `${this.files} files, ${(this.bytes / 1024 / 1024).toFixed(1)} MiB`;
  }

  /** Leaves nothing of the line that was written over. */
  end(): void {
    if (this.#how === 'terminal') process.stderr.write('\r\x1b[K');
  }
}
