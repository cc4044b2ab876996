/** A program's output as a body: frames of one byte kind, four bytes length, payload. */
import { Readable } from 'node:stream';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { ExecStream, ExitInfo } from '../../guest/types.ts';

export const execStreamType = 'application/vnd.casemate.exec-stream';

const kinds = { event: 0, stdout: 1, stderr: 2 } as const;

function header(kind: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(5);
  bytes[0] = kind;
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

function event(value: object): Buffer {
  const payload = Buffer.from(JSON.stringify(value));
  return Buffer.concat([header(kinds.event, payload.length), payload]);
}

/** Streams an exec; a client that goes away detaches, the program goes on. */
export function execBody(execId: string, stream: ExecStream, first: 'started' | 'attached'): Readable {
  const body = Readable.from(frames(execId, stream, first), { objectMode: false, highWaterMark: 128 * 1024 });
  body.once('close', () => stream.detach()); // a generator that waits for the guest does not notice by itself
  return body;
}

async function* frames(
  execId: string,
  stream: ExecStream,
  first: 'started' | 'attached',
): AsyncGenerator<Buffer> {
  const { pid, truncatedStdoutBytes, truncatedStderrBytes } = stream;
  yield event({
    type: first,
    execId,
    pid,
    ...(first === 'attached' ? { truncatedStdoutBytes, truncatedStderrBytes } : {}),
  });
  try {
    for await (const { channel, data } of stream.output) {
      yield header(kinds[channel], data.length);
      yield data;
    }
    const exited = await stream.exited;
    if (exited !== undefined) yield event({ type: 'exited', execId, ...exited });
  } catch (thrown) {
    yield event({ type: 'error', ...CasemateError.from(thrown).toBody() });
  }
}

export interface CollectedExec extends ExitInfo {
  readonly stdout: string;
  readonly stderr: string;
}

/** Waits for the end and answers the output as text; what goes beyond the bound is read, dropped and counted. */
export async function collectExec(stream: ExecStream): Promise<CollectedExec> {
  const kept = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const keptBytes = { stdout: 0, stderr: 0 };
  const dropped = { stdout: 0, stderr: 0 };
  for await (const { channel, data } of stream.output) {
    const room = limits.execAnswerBytesMax - keptBytes[channel];
    if (room > 0) kept[channel].push(data.subarray(0, room));
    keptBytes[channel] += Math.min(room, data.length);
    dropped[channel] += Math.max(0, data.length - room);
  }
  const exited = await stream.exited;
  if (exited === undefined)
    throw new CasemateError('conflict', 'Another reader took over the output of this exec.');
  return {
    ...exited,
    stdout: Buffer.concat(kept.stdout).toString('utf8'),
    stderr: Buffer.concat(kept.stderr).toString('utf8'),
    truncatedStdoutBytes: exited.truncatedStdoutBytes + dropped.stdout,
    truncatedStderrBytes: exited.truncatedStderrBytes + dropped.stderr,
  };
}
