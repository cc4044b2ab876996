/** Reads a program's output stream: frames of one byte kind, four bytes length, payload. */
import { CasemateError, errorFromWire } from './errors.ts';
import type { ExitInfo } from './types.ts';

export type ExecEvent =
  | { readonly kind: 'stdout' | 'stderr'; readonly data: Uint8Array }
  | {
      readonly kind: 'started' | 'attached';
      readonly execId: string;
      readonly pid: number;
      readonly truncatedStdoutBytes: number;
      readonly truncatedStderrBytes: number;
    }
  | { readonly kind: 'exited'; readonly exit: ExitInfo };

const headerBytes = 5;
/** Longer than any frame that a server sends. */
const payloadBytesMax = 16 * 1024 * 1024;

/**
 * Reads only as fast as it is iterated, so that a slow reader holds the program back. Cancelling the reader ends it.
 * @throws CasemateError that the server reports in the stream, `node_unavailable` where the connection breaks.
 */
export async function* execEvents(
  reader: ReadableStreamDefaultReader<Uint8Array>,
): AsyncGenerator<ExecEvent> {
  let buffered: Uint8Array = new Uint8Array(0);
  for (;;) {
    const { done, value: piece } = await reader.read().catch(connectionLost);
    if (done) return;
    buffered = buffered.length === 0 ? piece : join(buffered, piece);
    let offset = 0;
    while (buffered.length - offset >= headerBytes) {
      const view = new DataView(buffered.buffer, buffered.byteOffset + offset, headerBytes);
      const length = view.getUint32(1);
      if (length > payloadBytesMax)
        throw new CasemateError('internal', 'The server sent a frame that is too long.');
      if (buffered.length - offset < headerBytes + length) break;
      const payload = buffered.subarray(offset + headerBytes, offset + headerBytes + length);
      offset += headerBytes + length;
      yield eventOf(view.getUint8(0), payload);
    }
    buffered = buffered.subarray(offset);
  }
}

function connectionLost(error: unknown): never {
  const reason = error instanceof Error ? error.message : String(error);
  throw new CasemateError('node_unavailable', `The connection to the program was lost: ${reason}.`, {
    hint: 'The program may still run: find it with `processes()` and read on with `attach(execId)`.',
  });
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

interface WireEvent {
  readonly type: string;
  readonly execId?: string;
  readonly pid?: number;
  readonly truncatedStdoutBytes?: number;
  readonly truncatedStderrBytes?: number;
}

function eventOf(kind: number, payload: Uint8Array): ExecEvent {
  if (kind === 1) return { kind: 'stdout', data: payload };
  if (kind === 2) return { kind: 'stderr', data: payload };
  const event = JSON.parse(new TextDecoder().decode(payload)) as WireEvent;
  switch (event.type) {
    case 'started':
    case 'attached':
      return {
        kind: event.type,
        execId: event.execId ?? '',
        pid: event.pid ?? 0,
        truncatedStdoutBytes: event.truncatedStdoutBytes ?? 0,
        truncatedStderrBytes: event.truncatedStderrBytes ?? 0,
      };
    case 'exited':
      return { kind: 'exited', exit: exitOf(event as unknown as ExitInfo) };
    case 'error':
      throw errorFromWire(event);
    default:
      throw new CasemateError('internal', `The server sent an unknown event "${event.type}".`);
  }
}

function exitOf({
  exitCode,
  signal,
  reason,
  truncatedStdoutBytes,
  truncatedStderrBytes,
}: ExitInfo): ExitInfo {
  const truncated = { truncatedStdoutBytes, truncatedStderrBytes };
  return { exitCode, ...(signal === undefined ? {} : { signal }), reason, ...truncated };
}
