/** The process that speaks to machines' QEMUs, which guests may have broken into: it has no rights, and the root process asks it. */
import { rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';
import { type ControlLine, type ControlRequest, controlFile } from './controlWire.ts';
import { flatten, isPortOpen, load, run, save, untilMigrated } from './migrate.ts';
import { Qmp } from './qmp.ts';

/** QEMU may still be starting, or come back only after a second. */
const connectMsMax = 60_000;
const wordsMax = 800;

class Machine {
  readonly folder: string;
  #server: Server | undefined;
  #qmp: Qmp | undefined;
  #arrived: (() => void)[] = [];
  panicked = false;

  constructor(folder: string) {
    this.folder = folder;
  }

  async watch(): Promise<void> {
    if (this.#server !== undefined) return;
    const path = join(this.folder, controlFile.qmp);
    rmSync(path, { force: true });
    const server = createServer((socket) => {
      const qmp = new Qmp(socket, socket);
      socket.on('close', () => qmp.end(new Error('QEMU ended')));
      qmp.onEvent(({ name }) => {
        if (name === 'GUEST_PANICKED') this.panicked = true;
      });
      this.#qmp = qmp;
      for (const tell of this.#arrived.splice(0)) tell();
    });
    server.maxConnections = 1;
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(path, resolve);
    });
  }

  /** QEMU's side of the talk, as soon as it is there. */
  async qmp(): Promise<Qmp> {
    if (this.#qmp !== undefined && !this.#qmp.hasEnded) return this.#qmp;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('QEMU did not come')), connectMsMax);
      this.#arrived.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    return this.qmp();
  }

  end(): void {
    this.#server?.close();
    this.#qmp?.end();
  }
}

const machines = new Map<string, Machine>();

function machineOf(folder: string): Machine {
  const machine = machines.get(folder) ?? new Machine(folder);
  machines.set(folder, machine);
  return machine;
}

async function carryOut(folder: string, request: ControlRequest): Promise<string> {
  const machine = machineOf(folder);
  switch (request.do) {
    case 'watch':
      await machine.watch();
      return '';
    case 'commands': {
      const qmp = await machine.qmp();
      await Promise.all(request.commands.map(([name, parameters]) => qmp.command(name, parameters)));
      return '';
    }
    case 'awaitPort':
      await (await machine.qmp()).event(isPortOpen, request.timeoutMs);
      return '';
    case 'awaitMigration':
      await untilMigrated(await machine.qmp(), async () => {});
      return '';
    case 'flatten':
      await flatten(await machine.qmp(), request);
      return '';
    case 'save':
      await save(await machine.qmp(), folder);
      return '';
    case 'load':
      await load(await machine.qmp(), folder);
      return '';
    case 'run':
      await run(await machine.qmp());
      return '';
    case 'ask':
      await turn(); // what QEMU had said before the question is read first
      return machine.panicked ? 'panicked' : '';
    case 'forget':
      machines.delete(folder);
      machine.end();
      return '';
  }
}

function wordsOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, wordsMax);
}

/** @param uid whose rights it keeps, and no others. */
function serve(uid: number): void {
  process.umask(0); // who reaches into a control folder is said by the folder
  process.setgroups?.([]);
  process.setgid?.(uid);
  process.setuid?.(uid); // before the first byte of a machine is read
  process.on('SIGINT', () => {}); // a terminal's Ctrl-C reaches the whole group; the root process says when to end
  const answer = (number: number, words: string): void => void process.stdout.write(`${number} ${words}\n`);
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const { number, folder, request } = JSON.parse(line) as ControlLine;
    carryOut(folder, request).then(
      (word) => answer(number, `ok ${word}`.trim()),
      (error: unknown) => answer(number, `failed ${wordsOf(error)}`),
    );
  });
  lines.on('close', () => process.exit(0));
}

serve(Number(process.argv[2]));
