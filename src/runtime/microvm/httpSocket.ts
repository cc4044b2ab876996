/** Asks a virtual machine monitor over its Unix socket. Bounded, because a machine may have broken out into its monitor. */
import { type IncomingMessage, request } from 'node:http';

const answerBytesMax = 64 * 1024;
const callMsDefault = 30_000;

export interface Call {
  readonly method: 'GET' | 'PUT' | 'PATCH';
  readonly path: string;
  readonly body?: object;
}

/** The monitor's refusal, with its words cut to what fits a log line. */
export class RefusedCall extends Error {
  override readonly name = 'RefusedCall';
  readonly status: number;

  constructor({ method, path }: Call, status: number, words: string) {
    super(`${method} ${path} was answered with ${status}: ${words}`);
    this.status = status;
  }
}

/**
 * One call, one connection. @returns the answer's object; an empty one where it has no body.
 * @throws RefusedCall for any status but 2xx; Error where the answer is too long, no object or too late.
 */
export async function callSocket(
  socketPath: string,
  call: Call,
  timeoutMs = callMsDefault,
): Promise<Readonly<Record<string, unknown>>> {
  const { method, path, body } = call;
  const text = body === undefined ? '' : JSON.stringify(body);
  const headers = {
    accept: 'application/json',
    'content-length': Buffer.byteLength(text),
    ...(text === '' ? {} : { 'content-type': 'application/json' }),
  };
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = request({ socketPath, method, path, headers, agent: false, signal, maxHeaderSize: 8192 });
      asked.on('response', resolve).on('error', reject).end(text);
    });
    const said = await readBounded(answer);
    const status = answer.statusCode ?? 0;
    if (status < 200 || status > 299) throw new RefusedCall(call, status, wordsOf(said));
    return said === '' ? {} : parse(said);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new Error(`${method} ${path} was not answered within ${timeoutMs} ms`, { cause: error });
  }
}

async function readBounded(answer: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > answerBytesMax) {
      answer.destroy();
      throw new Error('the answer is too long');
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

function parse(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch {
    // told below
  }
  throw new Error('the answer is no JSON object');
}

/** Firecracker says `{"fault_message": …}`, Cloud Hypervisor a list of sentences or plain text. */
function wordsOf(text: string): string {
  const words = /"fault_message"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? text;
  return [...words]
    .map((character) => (character < ' ' || character === '\u007f' ? ' ' : character))
    .join('')
    .slice(0, 300);
}
