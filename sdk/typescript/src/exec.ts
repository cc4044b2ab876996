/** Runs a program to its end: gathers or hands on its output, feeds its stdin, kills it when told to. */
import { CasemateError } from './errors.ts';
import type { OutputChunk, SandboxProcess } from './process.ts';
import type { ExitInfo } from './types.ts';
import type { Bytes } from './upload.ts';

export interface ExecResult<Output = string> extends ExitInfo {
  readonly execId: string;
  /** The first 8 MiB; what is missing, for whichever reason, is counted in `truncatedStdoutBytes`. */
  readonly stdout: Output;
  readonly stderr: Output;
}

type Listener = ((text: string) => void | Promise<void>) | ((bytes: Uint8Array) => void | Promise<void>);

export interface RunOptions {
  readonly stdin?: Bytes;
  readonly onStdout?: Listener;
  readonly onStderr?: Listener;
  readonly signal?: AbortSignal;
  readonly encoding?: 'text' | 'bytes';
}

const collectedBytesMax = 8 * 1024 * 1024;
/** How long an aborted exec waits for the kill to be answered before it rejects all the same. */
const killMsMax = 2_000;

/** @throws the signal's reason where it aborts, after the program was killed. */
export async function runToEnd(
  start: () => Promise<SandboxProcess>,
  options: RunOptions,
): Promise<ExecResult<string | Uint8Array>> {
  const { signal } = options;
  const child = await startUnlessAborted(start, signal);
  let stopped: Promise<void> | undefined;
  const stop = (): void => {
    stopped ??= stopProcess(child);
  };
  signal?.addEventListener('abort', stop, { once: true });
  const feeding = feed(child, options.stdin, stop);
  try {
    return await collect(child, options);
  } catch (error) {
    stop(); // a callback failed, or the connection did: nobody reads any more
    await stopped;
    signal?.throwIfAborted();
    feeding.throwIfSourceFailed();
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
    feeding.end();
  }
}

/**
 * The request itself is not aborted: a server that has begun to start the program would let it run on. The caller has
 * the reason at once, and the program is killed as soon as it is known.
 */
export async function startUnlessAborted(
  start: () => Promise<SandboxProcess>,
  signal: AbortSignal | undefined,
): Promise<SandboxProcess> {
  if (signal === undefined) return start();
  signal.throwIfAborted();
  const starting = start();
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([starting, aborted]);
  } catch (error) {
    if (signal.aborted) starting.then(stopProcess, () => {});
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function stopProcess(child: SandboxProcess): Promise<void> {
  const killed = child.kill().catch(() => {}); // it has ended, or its sandbox has
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLong = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, killMsMax);
  });
  await Promise.race([killed, tooLong]);
  clearTimeout(timer);
  await child.detach();
}

async function collect(child: SandboxProcess, options: RunOptions): Promise<ExecResult<string | Uint8Array>> {
  const asBytes = options.encoding === 'bytes';
  const stdout = sinkOf(options.onStdout, asBytes);
  const stderr = sinkOf(options.onStderr, asBytes);
  for await (const chunk of child.output()) {
    const waiting = (chunk.stream === 'stdout' ? stdout : stderr).take(chunk);
    if (waiting !== undefined) await waiting;
  }
  options.signal?.throwIfAborted();
  const { exit } = child;
  if (exit === undefined) {
    throw new CasemateError(
      'conflict',
      'The output ended before the program did: another reader took it over.',
      {
        hint: `Read on with \`attach('${child.execId}')\`.`,
      },
    );
  }
  const [out, err] = [await stdout.end(), await stderr.end()];
  return {
    ...exit,
    execId: child.execId,
    stdout: out.output,
    stderr: err.output,
    truncatedStdoutBytes: exit.truncatedStdoutBytes + out.droppedBytes,
    truncatedStderrBytes: exit.truncatedStderrBytes + err.droppedBytes,
  };
}

interface Sink {
  take(chunk: OutputChunk): void | Promise<void>;
  end(): Promise<{ output: string | Uint8Array; droppedBytes: number }>;
}

function sinkOf(listener: Listener | undefined, asBytes: boolean): Sink {
  if (listener === undefined) return collector(asBytes);
  if (asBytes) {
    const onBytes = listener as (bytes: Uint8Array) => void | Promise<void>;
    return {
      take: ({ data }) => onBytes(data),
      end: async () => ({ output: new Uint8Array(0), droppedBytes: 0 }),
    };
  }
  const onText = listener as (text: string) => void | Promise<void>;
  const decoder = newDecoder();
  const tell = (text: string): void | Promise<void> => (text === '' ? undefined : onText(text));
  return {
    take: ({ data }) => tell(decoder.decode(data, { stream: true })),
    end: async () => {
      await tell(decoder.decode()); // a character that never became whole
      return { output: '', droppedBytes: 0 };
    },
  };
}

function collector(asBytes: boolean): Sink {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  let droppedBytes = 0;
  return {
    take({ data }) {
      const kept = data.slice(0, collectedBytesMax - bytes); // a copy: the piece shares memory with its frame
      droppedBytes += data.length - kept.length;
      bytes += kept.length;
      if (kept.length > 0) pieces.push(kept);
    },
    async end() {
      const all = new Uint8Array(bytes);
      let at = 0;
      for (const piece of pieces) {
        all.set(piece, at);
        at += piece.length;
      }
      return { output: asBytes ? all : newDecoder().decode(all), droppedBytes };
    },
  };
}

function newDecoder(): InstanceType<typeof TextDecoder> {
  return new TextDecoder('utf-8', { ignoreBOM: true }); // which keeps a byte order mark that the program printed
}

interface Feeding {
  end(): void;
  throwIfSourceFailed(): void;
}

/** Sends stdin beside the output. A program that ends without reading all of it is no error; a failing source is. */
function feed(child: SandboxProcess, source: Bytes | undefined, stop: () => void): Feeding {
  const controller = new AbortController();
  let failure: { error: unknown } | undefined;
  const onFailure = (error: unknown): void => {
    failure = { error };
    stop();
  };
  if (source !== undefined) {
    const watched =
      typeof source === 'object' && Symbol.asyncIterator in source ? watch(source, onFailure) : source;
    child.closeStdin(watched, { signal: controller.signal }).catch(() => {}); // the program's end says the rest
  }
  return {
    end: () => controller.abort(),
    throwIfSourceFailed: () => {
      if (failure !== undefined) throw failure.error;
    },
  };
}

async function* watch(
  source: AsyncIterable<Uint8Array>,
  onFailure: (error: unknown) => void,
): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } catch (error) {
    onFailure(error);
    throw error;
  }
}
