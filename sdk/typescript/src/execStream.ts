/** Reads a program's output stream: frames of one byte kind, four bytes length, payload. */
import { CasemateError, errorFromWire } from './errors.ts';
import type { ExitInfo } from './types.ts';

export type ExecEvent =
  | { readonly kind: 'stdout' | 'stderr'; readonly data: Uint8Array }
  | { readonly kind: 'started' | 'attached'; readonly execId: string; readonly pid: number; readonly truncatedStdoutBytes: number; readonly truncatedStderrBytes: number }
  | { readonly kind: 'exited'; readonly exit: ExitInfo };

const headerBytes = 5;
/** Longer than any frame that a server sends. */
const payloadBytesMax = 16 * 1024 * 1024;

/** @throws CasemateError that the server reports in the stream. */
export async function* execEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ExecEvent> {
  let buffered: Uint8Array = new Uint8Array(0);
  for await (const piece of body) {
    buffered = buffered.length === 0 ? piece : join(buffered, piece);
    let offset = 0;
    while (buffered.length - offset >= headerBytes) {
      const view = new DataView(buffered.buffer, buffered.byteOffset + offset, headerBytes);
      const length = view.getUint32(1);
      if (length > payloadBytesMax) throw new CasemateError('internal', 'The server sent a frame that is too long.');
      if (buffered.length - offset < headerBytes + length) break;
      const payload = buffered.subarray(offset + headerBytes, offset + headerBytes + length);
      offset += headerBytes + length;
      yield eventOf(view.getUint8(0), payload);
    }
    buffered = buffered.subarray(offset);
  }
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
      return { kind: 'exited', exit: event as unknown as ExitInfo };
    case 'error':
      throw errorFromWire(event);
    default:
      throw new CasemateError('internal', `The server sent an unknown event "${event.type}".`);
  }
}
