/** A sandbox: run programs in it, move files, open ports, end it. */
import { type CasemateError, errorFromWire } from './errors.ts';
import { type ExecResult, runToEnd, startUnlessAborted } from './exec.ts';
import { Files } from './files.ts';
import {
  type CodeContext,
  type CodeExecution,
  type CodeLanguage,
  createCodeContext,
  runCode,
  type RunCodeOptions,
} from './code.ts';
import { Ports } from './ports.ts';
import { SandboxProcess } from './process.ts';
import { type ConnectionOptions, Transport } from './transport.ts';
import type {
  EgressPolicy,
  LearnedPolicy,
  Page,
  ProcessInfo,
  SandboxInfo,
  SandboxLimits,
  SandboxMetrics,
  UsageSample,
  SandboxState,
  SnapshotInfo,
  VolumeMount,
} from './types.ts';
import type { Bytes } from './upload.ts';

export interface CreateOptions extends ConnectionOptions {
  /** `base` by default. */
  readonly template?: string;
  /** `gvisor` by default, `qemu`, `firecracker`, `cloud-hypervisor`. A weaker one is never chosen instead. */
  readonly runtime?: string;
  /** Starts from this snapshot (id or name) instead of a template; leave template and runtime out. */
  readonly snapshot?: string;
  /** What the time limit and idleness do; `kill` by default. */
  readonly onTimeout?: 'kill' | 'pause';
  /** A call to the sandbox while it is paused resumes it. */
  readonly autoResume?: boolean;
  /** The sandbox ends after this many milliseconds; 5 minutes by default. */
  readonly timeoutMs?: number;
  /** The sandbox ends after this many milliseconds without use. */
  readonly idleTimeoutMs?: number;
  /** Environment of every program. */
  readonly env?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly limits?: Partial<SandboxLimits>;
  /** What it may reach; nothing by default. */
  readonly policy?: EgressPolicy;
  /** Names of secrets: programs find placeholders in their environment, which become the values on the way to the secrets' hosts. */
  readonly secrets?: readonly string[];
  /** Shows what it would reach, see `learned`: names get addresses that lead nowhere. It opens nothing. */
  readonly learn?: boolean;
  /** Who programs run as; the template's user by default. */
  readonly user?: string;
  readonly hostname?: string;
  /** Volumes that it has from its first program on. One that cannot be attached means no sandbox. */
  readonly volumes?: readonly VolumeMount[];
  /** The same key and options give the same sandbox. */
  readonly idempotencyKey?: string;
  readonly signal?: AbortSignal;
}

export interface ListOptions extends ConnectionOptions {
  readonly states?: readonly SandboxState[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface SpawnOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  /** Ends the program, its whole process group, after this many milliseconds. */
  readonly timeoutMs?: number;
  /** Keep stdin open for `writeStdin`. */
  readonly stdin?: boolean;
  readonly signal?: AbortSignal;
}

export interface ExecOptions extends Omit<SpawnOptions, 'stdin'> {
  /** Given to the program, then closed. */
  readonly stdin?: Bytes;
  /** Called with text as it comes; a promise holds the program back until it resolves. Then `stdout` stays empty. */
  readonly onStdout?: (text: string) => void | Promise<void>;
  readonly onStderr?: (text: string) => void | Promise<void>;
  /** `text` (UTF-8) by default. */
  readonly encoding?: 'text';
}

/** Options for output that is not text. */
export interface ExecBytesOptions extends Omit<ExecOptions, 'encoding' | 'onStdout' | 'onStderr'> {
  readonly encoding: 'bytes';
  readonly onStdout?: (bytes: Uint8Array) => void | Promise<void>;
  readonly onStderr?: (bytes: Uint8Array) => void | Promise<void>;
}

export interface PtyOptions {
  readonly rows?: number;
  readonly cols?: number;
  /** A login shell by default. */
  readonly command?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly signal?: AbortSignal;
}

interface ForkedChild {
  readonly sandbox?: SandboxInfo;
  readonly error?: unknown;
}

const streamType = 'application/vnd.casemate.exec-stream';

/**
 * @example
 * await using sbx = await Sandbox.create({ template: 'python', runtime: 'gvisor' })
 * const r = await sbx.exec('python3 -c "print(6*7)"')
 * r.stdout // '42\n'
 */
export class Sandbox implements AsyncDisposable {
  readonly id: string;
  readonly files: Files;
  readonly ports: Ports;
  readonly #transport: Transport;
  readonly #path: string;

  private constructor(transport: Transport, id: string) {
    this.id = id;
    this.#transport = transport;
    this.#path = `/v1/sandboxes/${id}`;
    this.files = new Files(transport, this.#path);
    this.ports = new Ports(transport, this.#path);
  }

  /** Creates a sandbox: warm where a pool has one. @throws CasemateError `no_capacity`, `template_not_ready` */
  static async create(options: CreateOptions = {}): Promise<Sandbox> {
    const { url: _url, apiKey: _apiKey, idempotencyKey, signal, ...json } = options;
    const transport = new Transport(options);
    const headers = idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
    const info = await transport.json<SandboxInfo>('POST', '/v1/sandboxes', { json, headers, signal });
    return new Sandbox(transport, info.id);
  }

  /** A handle on a sandbox that exists. @throws CasemateError `not_found` */
  static async connect(id: string, options: ConnectionOptions = {}): Promise<Sandbox> {
    const sandbox = new Sandbox(new Transport(options), id);
    await sandbox.info();
    return sandbox;
  }

  /** All sandboxes that match, page after page, newest first; ended ones only when asked for by `states`. */
  static async *list(options: ListOptions = {}): AsyncGenerator<SandboxInfo> {
    const transport = new Transport(options);
    const pairs = (tags: Readonly<Record<string, string>> = {}): string[] =>
      Object.entries(tags).map(([name, value]) => `${name}=${value}`);
    let cursor: string | undefined;
    do {
      const page: Page<SandboxInfo> = await transport.json('GET', '/v1/sandboxes', {
        query: {
          state: options.states?.join(','),
          metadata: pairs(options.metadata),
          label: pairs(options.labels),
          cursor,
        },
      });
      yield* page.items;
      cursor = page.nextCursor;
    } while (cursor !== undefined);
  }

  /**
   * Runs a program to its end: text goes to `bash -l -c`, a list is run as it is.
   * A program that fails is a result, not an error. Aborting kills the program.
   */
  async exec(command: string | readonly string[], options: ExecBytesOptions): Promise<ExecResult<Uint8Array>>;
  async exec(command: string | readonly string[], options?: ExecOptions): Promise<ExecResult>;
  async exec(
    command: string | readonly string[],
    options: ExecOptions | ExecBytesOptions = {},
  ): Promise<ExecResult<string | Uint8Array>> {
    const { cwd, env, user, timeoutMs, stdin } = options;
    const json = { ...bodyOfCommand(command), cwd, env, user, timeoutMs, stdin: stdin !== undefined };
    return runToEnd(() => this.#open(json), options);
  }

  /** Starts a program; resolves when it runs. @throws CasemateError `exec_failed` */
  async spawn(command: string | readonly string[], options: SpawnOptions = {}): Promise<SandboxProcess> {
    const { signal, ...rest } = options;
    return this.#start({ ...bodyOfCommand(command), ...rest }, signal);
  }

  /** Kills the program when the signal aborts. */
  async #start(json: object, signal: AbortSignal | undefined): Promise<SandboxProcess> {
    const child = await startUnlessAborted(() => this.#open(json), signal);
    if (signal === undefined) return child;
    const kill = (): void => void child.kill().catch(() => {}); // it has ended
    signal.addEventListener('abort', kill, { once: true });
    child.whenOver(() => signal.removeEventListener('abort', kill));
    return child;
  }

  async #open(json: object): Promise<SandboxProcess> {
    const headers = { accept: streamType };
    const response = await this.#transport.request('POST', `${this.#path}/exec`, { json, headers });
    return SandboxProcess.open(this.#transport, this.#path, response);
  }

  /** Reads the output of a program that runs, or ended a short while ago: what was kept, then what follows. */
  async attach(
    execId: string,
    options: { follow?: boolean; signal?: AbortSignal } = {},
  ): Promise<SandboxProcess> {
    const response = await this.#transport.request('GET', `${this.#path}/execs/${execId}/output`, {
      query: { follow: options.follow },
      signal: options.signal,
    });
    return SandboxProcess.open(this.#transport, this.#path, response);
  }

  /** Programs that run, or ended a short while ago. */
  async processes(): Promise<ProcessInfo[]> {
    return (await this.#transport.json<{ items: ProcessInfo[] }>('GET', `${this.#path}/execs`)).items;
  }

  /** A terminal with a shell (or a command) in it. */
  async pty(options: PtyOptions = {}): Promise<SandboxProcess> {
    const { rows = 24, cols = 80, command, signal, ...rest } = options;
    const what = command === undefined ? { argv: ['/bin/bash', '-l'] } : { command };
    return this.#start({ ...what, ...rest, stdin: true, pty: { rows, cols } }, signal);
  }

  /** The time limit, from now. */
  async setTimeout(timeoutMs: number): Promise<SandboxInfo> {
    return this.#transport.json('POST', `${this.#path}/timeout`, { json: { timeoutMs } });
  }

  async info(): Promise<SandboxInfo> {
    return this.#transport.json('GET', this.#path);
  }

  async metrics(): Promise<SandboxMetrics> {
    return this.#transport.json('GET', `${this.#path}/metrics`);
  }

  /**
   * What it used over time, oldest first: a sample each few seconds that it ran, and one of now. It is not woken, and the
   * last hour or so is kept for as long as the server runs.
   * @example
   * const lately = await sbx.metricsHistory({ start: new Date(Date.now() - 60_000) });
   */
  async metricsHistory({ start, end }: { start?: Date; end?: Date } = {}): Promise<UsageSample[]> {
    const query = { start: start?.toISOString(), end: end?.toISOString() };
    const path = `${this.#path}/metrics/history`;
    return (await this.#transport.json<{ items: UsageSample[] }>('GET', path, { query })).items;
  }

  /** Milliseconds from the server to the guest agent and back. */
  async ping(): Promise<number> {
    const answer = await this.#transport.json<{ agentRoundTripMs: number }>('POST', `${this.#path}/ping`);
    return answer.agentRoundTripMs;
  }

  /**
   * What it may reach from now on; connections that do not comply are cut when this resolves.
   * @example
   * await sbx.setPolicy({ allow: [{ preset: 'pip' }, { host: 'api.example.com', methods: ['GET'] }] })
   */
  async setPolicy(policy: EgressPolicy): Promise<EgressPolicy> {
    return this.#transport.json('PUT', `${this.#path}/policy`, { json: policy });
  }

  /** The smallest policy that allows what it was denied so far; look at it, then `setPolicy`. Nothing is opened by this. */
  async learned(): Promise<LearnedPolicy> {
    return this.#transport.json('GET', `${this.#path}/learned`);
  }

  /**
   * Writes it to disk, programs and all; it costs nothing else until it is resumed, and survives restarts.
   * @param options.keepMemory false ends every program first and keeps files only: a virtual machine boots again.
   */
  async pause(options: { keepMemory?: boolean } = {}): Promise<SandboxInfo> {
    return this.#transport.json('POST', `${this.#path}/pause`, { json: options });
  }

  /** Lets it go on where it stood. @throws CasemateError `snapshot_damaged`, `snapshot_mismatch`, `no_capacity` */
  async resume(options: { timeoutMs?: number } = {}): Promise<SandboxInfo> {
    return this.#transport.json('POST', `${this.#path}/resume`, { json: options });
  }

  /**
   * Takes a snapshot; the sandbox goes on.
   * @example
   * const { id } = await sbx.snapshot({ name: 'after-install' })
   * await using other = await Sandbox.create({ snapshot: 'after-install' })
   */
  async snapshot(
    options: { name?: string; labels?: Readonly<Record<string, string>>; retentionMs?: number } = {},
  ): Promise<SnapshotInfo> {
    return this.#transport.json('POST', `${this.#path}/snapshots`, { json: options });
  }

  /** Starts children from what it is now; it goes on. A child that fails is an error in its place. */
  async fork(count: number): Promise<(Sandbox | CasemateError)[]> {
    const { children } = await this.#transport.json<{ children: ForkedChild[] }>(
      'POST',
      `${this.#path}/fork`,
      {
        json: { count },
      },
    );
    return children.map((child) =>
      child.sandbox === undefined ? errorFromWire(child) : new Sandbox(this.#transport, child.sandbox.id),
    );
  }

  /**
   * Runs code in a kernel that keeps its variables, in a sandbox of the template `code-interpreter`.
   * @throws CasemateError `port_unreachable` where the sandbox is of another template
   * @example
   * await sbx.runCode('x = 41')
   * const { text } = await sbx.runCode('x + 1') // '42'
   */
  async runCode(code: string, options: RunCodeOptions = {}): Promise<CodeExecution> {
    return runCode(this.ports, code, options);
  }

  /** Starts a kernel of its own, for `runCode(code, { context })`. */
  async createCodeContext(options: { language?: CodeLanguage; cwd?: string } = {}): Promise<CodeContext> {
    return createCodeContext(this.ports, options);
  }

  /** Ends it; nothing of it is left when this resolves. Killing twice is fine. */
  async kill(): Promise<void> {
    await this.#transport.done('DELETE', this.#path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

function bodyOfCommand(command: string | readonly string[]): object {
  return typeof command === 'string' ? { command } : { argv: command };
}
