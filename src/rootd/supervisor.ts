/** Keeps one unprivileged server running beside the root process and gives it the socket to ask through. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import type { Log } from '../base/log.ts';

export interface SupervisorOptions {
  /** Program and arguments of the server; its file descriptor 3 is the socket. */
  readonly argv: () => readonly string[];
  readonly onSocket: (socket: Duplex) => void;
  /** One line that the server prints on its stdout when it is ready. */
  readonly onReady: (line: string) => void;
  /** Called when it has never been ready and has ended this often that another try makes no sense. */
  readonly onHopeless: () => void;
  /** Its environment; this process's by default. */
  readonly env?: NodeJS.ProcessEnv;
  readonly log: Log;
}

const triesUntilHopeless = 4;
const restartMsMin = 50;
const restartMsMax = 5000;
/** A server that ran this long was sound: the next restart is quick again. */
const soundMs = 10_000;
const stopMsMax = 10_000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  #child: ChildProcess | undefined;
  #restartMs = restartMsMin;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #wasReady = false;
  #tries = 0;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  start(): void {
    const { argv, onSocket, onReady, log, env = process.env } = this.#options;
    const [program = '', ...args] = argv();
    const startedAt = Date.now();
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit', 'pipe'], env });
    this.#child = child;
    const socket = child.stdio[3] as Duplex;
    socket.on('error', () => socket.destroy());
    onSocket(socket);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#wasReady = true;
      for (const line of text.split('\n')) if (line !== '') onReady(line);
    });
    child.on('error', (error) => log.error('server_not_started', { reason: error.message }));
    child.on('exit', (code, signal) => {
      if (this.#stopped) return;
      this.#tries += 1;
      if (!this.#wasReady && this.#tries >= triesUntilHopeless) return this.#options.onHopeless();
      if (Date.now() - startedAt > soundMs) this.#restartMs = restartMsMin;
      log.warn('server_ended', { code: code ?? -1, signal: signal ?? '', restartMs: this.#restartMs });
      this.#timer = setTimeout(() => this.start(), this.#restartMs);
      this.#restartMs = Math.min(this.#restartMs * 2, restartMsMax);
    });
  }

  /** Asks the server to end, makes it end after a while, and resolves when it has. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
    child.kill('SIGTERM');
    await ended;
    clearTimeout(timer);
  }
}
