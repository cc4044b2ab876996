/** The root process's way to machines: it asks a process without rights, and never reads what a QEMU says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answerPattern, type ControlLine, type ControlRequest, type QemuCommand } from './controlWire.ts';

/** The user of that process: the number after those of machines (`machineUid`). */
export const controlUid = 0x7f00_0000;

/** More than whatever is waited for: a boot where KVM itself is emulated. */
const askMsMax = 200_000;
const answerCharactersMax = 64 * 1024;
/** A quarter of what Node takes otherwise. */
const heapMib = 64;

interface Waiter {
  readonly resolve: (words: string) => void;
  readonly reject: (error: Error) => void;
}

/** One for this process: QEMUs find it by their control folders. It starts when it is needed, and again where it has ended. */
class ControlProcess {
  #child: ChildProcess | undefined;
  readonly #waiting = new Map<number, Waiter>();
  /** What a new one has to be told first. */
  readonly #watched = new Set<string>();
  #last = 0;
  #text = '';

  /** @throws Error with the words of QEMU, or of that process, which are nobody's to believe. */
  ask(folder: string, request: ControlRequest): Promise<string> {
    if (request.do === 'watch') this.#watched.add(folder);
    if (request.do === 'forget') this.#watched.delete(folder);
    return this.#send(this.#running(), folder, request);
  }

  #send(child: ChildProcess, folder: string, request: ControlRequest): Promise<string> {
    this.#last += 1;
    const line: ControlLine = { number: this.#last, folder, request };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle(() => reject(new Error('QEMU took too long'))), askMsMax);
      const settle = (tell: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(line.number);
        tell();
      };
      this.#waiting.set(line.number, {
        resolve: (words) => settle(() => resolve(words)),
        reject: (error) => settle(() => reject(error)),
      });
      child.stdin?.write(`${JSON.stringify(line)}\n`);
    });
  }

  #running(): ChildProcess {
    if (this.#child !== undefined) return this.#child;
    const program = fileURLToPath(new URL('./controlProcess.ts', import.meta.url));
    // It loads its program as root, which may lie where only root can read, and keeps no more rights than to give them up.
    const child = spawn(
      'unshare',
      [
        ...['--net', '--ipc', '--uts', 'setpriv', '--no-new-privs', '--inh-caps=-all'],
        ...['--bounding-set=-all,+setuid,+setgid', process.execPath, `--max-old-space-size=${heapMib}`],
        ...['--disable-warning=ExperimentalWarning', program, String(controlUid)],
      ],
      { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: process.env.PATH }, cwd: '/' },
    );
    this.#child = child;
    this.#text = '';
    for (const stream of [child.stdin, child.stdout]) {
      stream?.on('error', () => child.kill('SIGKILL'));
      if (stream instanceof Socket) stream.unref(); // what is asked for has a timer, which is waited for
    }
    child.unref();
    child.stdout?.setEncoding('latin1').on('data', (text: string) => this.#take(child, text));
    const ended = (): void => this.#ended(child);
    child.on('error', ended).on('exit', ended);
    for (const folder of this.#watched) this.#send(child, folder, { do: 'watch' }).catch(() => {});
    return child;
  }

  #ended(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    for (const { reject } of [...this.#waiting.values()])
      reject(new Error('the process that speaks to machines has ended'));
  }

  #take(child: ChildProcess, text: string): void {
    if (this.#child !== child) return;
    const lines = (this.#text + text).split('\n');
    this.#text = lines.pop() ?? '';
    for (const line of lines) {
      const [, number, outcome, words = ''] = answerPattern.exec(line) ?? [];
      const waiter = this.#waiting.get(Number(number));
      if (outcome === 'ok') waiter?.resolve(words);
      else waiter?.reject(new Error(words));
    }
    if (this.#text.length > answerCharactersMax) child.kill('SIGKILL');
  }
}

const controlProcess = new ControlProcess();

export function controlFolder(directory: string): string {
  return join(directory, 'control');
}

/** What one QEMU can be asked. Every method but `watch` and `hasPanicked` fails with QEMU when it has ended. */
export class MachineControl {
  readonly #folder: string;
  readonly #failing = new Set<(error: Error) => void>();
  #failure: Error | undefined;

  /** @param directory the machine's folder */
  constructor(directory: string) {
    this.#folder = controlFolder(directory);
  }

  /** Makes the folder in which QEMU, as `uid`, and the process that speaks to it meet; nobody else gets in. */
  static makeFolder(directory: string, uid: number): void {
    const folder = controlFolder(directory);
    mkdirSync(folder, { mode: 0o770 });
    chownSync(folder, controlUid, uid);
    chmodSync(folder, 0o770); // whatever this process's umask
  }

  async watch(): Promise<void> {
    await controlProcess.ask(this.#folder, { do: 'watch' });
  }

  /** QEMU has ended: nothing that it was asked for will be. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const reject of [...this.#failing]) reject(error);
  }

  #ask(request: ControlRequest): Promise<string> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    let failing: (error: Error) => void = () => {};
    const failed = new Promise<never>((_, reject) => {
      failing = reject;
      this.#failing.add(failing);
    });
    return Promise.race([failed, controlProcess.ask(this.#folder, request)]).finally(() =>
      this.#failing.delete(failing),
    );
  }

  async commands(...commands: readonly QemuCommand[]): Promise<void> {
    await this.#ask({ do: 'commands', commands });
  }

  async portOpen(timeoutMs: number): Promise<void> {
    await this.#ask({ do: 'awaitPort', timeoutMs });
  }

  async migrated(): Promise<void> {
    await this.#ask({ do: 'awaitMigration' });
  }

  async flatten(node: string, base: string): Promise<void> {
    await this.#ask({ do: 'flatten', node, base });
  }

  async save(): Promise<void> {
    await this.#ask({ do: 'save' });
  }

  async load(): Promise<void> {
    await this.#ask({ do: 'load' });
  }

  async run(): Promise<void> {
    await this.#ask({ do: 'run' });
  }

  /** Whether the guest's kernel has panicked, also when QEMU is gone. */
  async hasPanicked(): Promise<boolean> {
    return (await controlProcess.ask(this.#folder, { do: 'ask' })) === 'panicked';
  }

  /** Nobody listens for QEMU any more; also where that process has ended. */
  async forget(): Promise<void> {
    await controlProcess.ask(this.#folder, { do: 'forget' }).catch(() => {});
  }
}
