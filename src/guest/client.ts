/** Casemate's half of the guest protocol: what a sandbox can be asked to do. Trusts nothing that comes back. */
import type { Duplex } from 'node:stream';
import { CasemateError } from '../base/errors.ts';
import {
  type Cancelable,
  cancelOn,
  contentOf,
  duplexOf,
  entriesOf,
  type FileContent,
  upload,
  within,
} from './calls.ts';
import { Connection } from './connection.ts';
import { violation } from './frame.ts';
import type { GuestStream } from './guestStream.ts';
import type { ByteStream } from './stream.ts';
import type {
  BindParams,
  ExecStartParams,
  ExecStream,
  ExitInfo,
  FileEntry,
  FileEvent,
  GuestExec,
  GuestMetrics,
  OutputChunk,
  TerminalSize,
} from './types.ts';
import {
  asObject,
  countOf,
  entryOf,
  eventOf,
  execsOf,
  exitOf,
  type JsonObject,
  metricsOf,
} from './validate.ts';

export class GuestClient {
  readonly agentVersion: string;
  readonly bootId: string;
  /** Never rejects: the error where the guest broke the protocol; undefined at its end or after `close`. */
  readonly closed: Promise<CasemateError | undefined>;
  readonly #connection: Connection;

  private constructor(connection: Connection, hello: { agentVersion: string; bootId: string }) {
    this.#connection = connection;
    this.closed = connection.closed;
    this.agentVersion = hello.agentVersion;
    this.bootId = hello.bootId;
  }

  /** Takes over an agent's byte stream. @throws CasemateError `timeout`, `guest_protocol`, `sandbox_ended` */
  static async attach(bytes: ByteStream): Promise<GuestClient> {
    const connection = new Connection(bytes);
    return new GuestClient(connection, await connection.attach());
  }

  /** Lets go; the sandbox and its programs go on. */
  close(): void {
    this.#connection.close();
  }

  /** Milliseconds to the agent and back. */
  ping(): Promise<number> {
    return this.#connection.ping();
  }

  async #call(method: string, params: object = {}): Promise<JsonObject> {
    const stream = this.#connection.open(method, params);
    return within(stream, stream.result());
  }

  async bind(params: BindParams): Promise<void> {
    await this.#call('bind', params);
  }

  /**
   * Kills every program but the agent and has all files written out, for a pause that keeps files only.
   * @param options.reboots the agent will end too: it leaves what was bound for the one that boots from the disk.
   */
  async killAll(options: { readonly reboots?: boolean } = {}): Promise<void> {
    await this.#call('killAll', options);
  }

  /** Has the agent run a login shell that does nothing, ahead of a user's first program. */
  async warm(user: string): Promise<void> {
    await this.#call('warm', { user });
  }

  /** Starts a program; resolves when it runs. @throws CasemateError `exec_failed` and others */
  async execStart(params: ExecStartParams, options: Cancelable = {}): Promise<ExecStream> {
    return this.#follow(this.#connection.open('exec.start', params), 'started', options);
  }

  /** Reads a program's output from the ring on, instead of an earlier reader. */
  async execAttach(execId: string, options: { follow: boolean } & Cancelable): Promise<ExecStream> {
    const stream = this.#connection.open('exec.attach', { execId, follow: options.follow });
    return this.#follow(stream, 'attached', options);
  }

  async #follow(
    stream: GuestStream,
    first: 'started' | 'attached',
    { signal }: Cancelable,
  ): Promise<ExecStream> {
    cancelOn(stream, signal);
    const begun = await within(stream, stream.message());
    if (begun?.[first] === undefined) throw violation(`no "${first}"`);
    const facts = asObject(begun[first]);
    const count = (field: string): number => (first === 'attached' ? countOf(facts, field) : 0);
    const exited = readExit(stream);
    exited.catch(() => {}); // the output iteration tells the same
    return {
      pid: countOf(facts, 'pid'),
      truncatedStdoutBytes: count('truncatedStdoutBytes'),
      truncatedStderrBytes: count('truncatedStderrBytes'),
      output: outputOf(stream),
      exited,
      detach: () => stream.cancel(),
    };
  }

  /** Sends bytes to a program's stdin; `end` closes it afterwards. @returns bytes that the program was given */
  async execStdin(
    execId: string,
    source: AsyncIterable<Uint8Array>,
    options: { end: boolean } & Cancelable,
  ): Promise<number> {
    const stream = this.#connection.open('exec.stdin', { execId, end: options.end });
    cancelOn(stream, options.signal);
    return countOf(await upload(stream, source), 'bytes');
  }

  async execSignal(execId: string, signal: number): Promise<void> {
    await this.#call('exec.signal', { execId, signal });
  }

  async execResize(execId: string, size: TerminalSize): Promise<void> {
    await this.#call('exec.resize', { execId, ...size });
  }

  async execList(): Promise<GuestExec[]> {
    return execsOf(await this.#call('exec.list'));
  }

  async fileStat(path: string, options: { user?: string } = {}): Promise<FileEntry> {
    return entryOf(await this.#call('file.stat', { path, ...options }));
  }

  async fileMkdir(params: {
    path: string;
    mode?: number;
    parents?: boolean;
    user?: string;
  }): Promise<FileEntry> {
    return entryOf(await this.#call('file.mkdir', params));
  }

  async fileMove(params: { from: string; to: string; user?: string }): Promise<FileEntry> {
    return entryOf(await this.#call('file.move', params));
  }

  async fileRemove(params: { path: string; recursive?: boolean; user?: string }): Promise<void> {
    await this.#call('file.remove', params);
  }

  /** Entries below a directory, 10,000 at most. */
  async fileList(
    path: string,
    options: { depth: number; user?: string },
  ): Promise<{ entries: FileEntry[]; truncated: boolean }> {
    const stream = this.#connection.open('file.list', { path, ...options });
    return entriesOf(stream);
  }

  /** Streams a file out. Destroying `body` early tells the guest to stop. */
  async fileRead(
    params: { path: string; offset?: number; length?: number; user?: string },
    options: Cancelable = {},
  ): Promise<FileContent> {
    const stream = this.#connection.open('file.read', params);
    cancelOn(stream, options.signal);
    return contentOf(stream);
  }

  /** Streams a file in; a source that fails leaves the old file as it was. */
  async fileWrite(
    params: { path: string; mode?: number; append?: boolean; parents?: boolean; user?: string },
    source: AsyncIterable<Uint8Array>,
    options: Cancelable = {},
  ): Promise<{ size: number }> {
    const stream = this.#connection.open('file.write', params);
    cancelOn(stream, options.signal);
    return { size: countOf(await upload(stream, source), 'size') };
  }

  /** Resolves when the watch stands; the iteration goes on until it is left. */
  async fileWatch(
    params: { path: string; recursive: boolean; user?: string },
    options: Cancelable = {},
  ): Promise<AsyncIterable<FileEvent>> {
    const stream = this.#connection.open('file.watch', params);
    cancelOn(stream, options.signal);
    const ready = await within(stream, stream.message());
    if (ready?.ready !== true) throw violation('no "ready"');
    return eventsOf(stream);
  }

  /** Connects to a port inside the sandbox. @throws CasemateError `port_unreachable` */
  async tcpConnect(params: { port: number; host?: string }): Promise<Duplex> {
    const stream = this.#connection.open('tcp.connect', params);
    const connected = await within(stream, stream.message());
    if (connected?.connected !== true) throw violation('no "connected"');
    return duplexOf(stream);
  }

  /**
   * Puts a volume where it is wanted: one that the host has attached under `slot`, or, with `stream`, one whose files the host
   * serves through `serveVolume`.
   */
  async mountVolume(params: {
    slot: number;
    path: string;
    stream?: boolean;
    readOnly?: boolean;
  }): Promise<void> {
    await this.#call('volume.mount', params);
  }

  /** What the guest's kernel asks of the volume that is mounted from `slot`, and the answers to it. */
  async serveVolume(params: { slot: number }): Promise<Duplex> {
    const stream = this.#connection.open('volume.serve', params);
    const ready = await within(stream, stream.message());
    if (ready?.ready !== true) throw violation('no "ready"');
    return duplexOf(stream);
  }

  async metrics(): Promise<GuestMetrics> {
    return metricsOf(await this.#call('metrics'));
  }
}

async function readExit(stream: GuestStream): Promise<ExitInfo | undefined> {
  for (;;) {
    let message: JsonObject | undefined;
    try {
      message = await stream.message();
    } catch (error) {
      if (error instanceof CasemateError && (error.code === 'canceled' || error.code === 'conflict'))
        return undefined;
      throw error;
    }
    if (message === undefined) return undefined;
    if (message.exited !== undefined) return exitOf(message.exited);
  }
}

async function* outputOf(stream: GuestStream): AsyncGenerator<OutputChunk> {
  try {
    for (let chunk = await stream.next(); chunk !== undefined; chunk = await stream.next()) {
      yield { channel: chunk.channel === 1 ? 'stderr' : 'stdout', data: chunk.data };
    }
  } finally {
    stream.cancel();
  }
}

async function* eventsOf(stream: GuestStream): AsyncGenerator<FileEvent> {
  try {
    for (let message = await stream.message(); message !== undefined; message = await stream.message()) {
      yield eventOf(message.event);
    }
  } finally {
    stream.cancel();
  }
}
