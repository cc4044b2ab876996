/** E2B's HTTP routes of files: reading one as a stream, writing some from a form or one from a stream. */
import { Busboy, type BusboyInstance } from '@fastify/busboy';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { posix } from 'node:path';
import { type Readable, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CasemateError } from '../../base/errors.ts';
import { type AgentCall, type AsUser, guestWork, handOver, withRootsHelp } from './call.ts';
import { unsupported } from './errors.ts';
import { queryOf, sendJson } from './http.ts';
import { describe, guestPath } from './paths.ts';

const filesMax = 1000;
const pathBytesMax = 4096;
/** What the guest may have been sent before it says that the user's rights do not reach: its window and a piece. */
const replayBytesMax = 512 * 1024;

interface WrittenFile {
  readonly path: string;
  readonly name: string;
  readonly type: 'file';
}

export async function readFile(
  call: AgentCall,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = neededPath(request);
  const range = rangeOf(request.headers.range);
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const file = await call.core.withGuestStream(
    call.principal,
    call.sandboxId,
    { action: 'file.read', detail: { path } },
    async (guest) => {
      const { result } = await withRootsHelp(call, async (as) => {
        const { entry, target } = await describe(guest, path, as);
        if ((target ?? entry).type === 'directory') {
          throw new CasemateError('file_invalid', `path '${entry.path}' is a directory`);
        }
        return guest.fileRead({ path: guestPath(path), ...range, ...as }, { signal: gone.signal });
      });
      return { result, ended: new Promise((resolve) => result.body.once('close', resolve)) };
    },
  );
  const { size, offset, length, body } = file;
  if (range !== undefined && range.offset >= size) {
    body.destroy();
    throw new CasemateError('range_not_satisfiable', `The file has ${size} bytes.`);
  }
  response.writeHead(range === undefined ? 200 : 206, {
    'content-type': 'application/octet-stream',
    'content-length': length,
    'accept-ranges': 'bytes',
    'content-disposition': `inline; filename*=UTF-8''${encodeURIComponent(posix.basename(path))}`,
    ...(range === undefined ? {} : { 'content-range': `bytes ${offset}-${offset + length - 1}/${size}` }),
  });
  pipeline(body, response, () => {}); // what fails in the middle cuts the connection: the length tells the client
}

function rangeOf(header: string | undefined): { offset: number; length?: number } | undefined {
  const match = /^bytes=(\d{1,15})-(\d{1,15})?$/.exec(header ?? '');
  if (match === null) return undefined; // a form that is not served is ignored, as HTTP allows
  const [offset, last] = [Number(match[1]), match[2]];
  if (last === undefined) return { offset };
  return Number(last) < offset ? undefined : { offset, length: Number(last) - offset + 1 };
}

function neededPath(request: IncomingMessage): string {
  const path = queryOf(request).get('path');
  if (path === null || path === '') throw new CasemateError('invalid_request', 'The request names no path.');
  return path;
}

export async function writeFiles(
  call: AgentCall,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (Object.keys(request.headers).some((name) => name.startsWith('x-metadata-'))) {
    throw unsupported('metadata of files');
  }
  const type = request.headers['content-type'] ?? '';
  const content = plain(request);
  request.on('error', ignore); // whoever reads hears of it; nobody may any more
  content.on('error', ignore);
  try {
    const written = type.startsWith('multipart/form-data')
      ? await writeForm(call, request, content)
      : [await writeOne(call, neededPath(request), content)];
    sendJson(response, 200, written);
  } finally {
    if (content !== request) request.unpipe();
    request.resume(); // the client reads an answer only when it has sent everything
  }
}

/** The body unpacked. It is piped, not joined: a body that is refused still has to be read to its end. */
function plain(request: IncomingMessage): Readable {
  const coding = request.headers['content-encoding'] ?? 'identity';
  if (coding === 'identity') return request;
  if (coding !== 'gzip') throw new CasemateError('unsupported_media_type', 'Only gzip is unpacked.');
  const unpacked = createGunzip();
  request.once('aborted', () => unpacked.destroy(new CasemateError('canceled', 'The client went away.')));
  return request.pipe(unpacked);
}

function ignore(): void {}

/** Each part is a file; where the query names no path its file name is one. One after the other, as they arrive. */
async function writeForm(
  call: AgentCall,
  request: IncomingMessage,
  content: Readable,
): Promise<WrittenFile[]> {
  const path = queryOf(request).get('path') ?? '';
  const form = openForm(request);
  const files: Promise<WrittenFile>[] = [];
  const parts: Readable[] = [];
  return new Promise((resolve, reject) => {
    const fail = (thrown: unknown): void => {
      const error =
        thrown instanceof CasemateError ? thrown : new CasemateError('invalid_request', String(thrown));
      content.unpipe(form);
      for (const part of parts) part.destroy(error); // half a file must not be taken for a whole
      reject(error);
    };
    form.on('file', (_field, stream, filename) => {
      const target = path === '' ? filename : path;
      const work = target
        ? writeOne(call, target, stream)
        : Promise.reject(new CasemateError('invalid_request', 'A part of the form has no file name.'));
      files.push(work);
      parts.push(stream);
      stream.on('error', ignore); // told by `fail` already
      work.catch(fail);
    });
    form.on('filesLimit', () => fail(new CasemateError('payload_too_large', 'The form has too many files.')));
    form.on('error', fail);
    content.on('error', fail);
    form.on('finish', () => void Promise.all(files).then(resolve, () => {}));
    content.pipe(form);
  });
}

function openForm(request: IncomingMessage): BusboyInstance {
  try {
    return new Busboy({
      headers: { ...request.headers, 'content-type': request.headers['content-type'] ?? '' },
      preservePath: true,
      limits: {
        files: filesMax,
        fields: 0,
        fileSize: Number.POSITIVE_INFINITY,
        headerSize: 2 * pathBytesMax,
      },
    });
  } catch (error) {
    throw new CasemateError(
      'invalid_request',
      error instanceof Error ? error.message : 'The form is broken.',
    );
  }
}

async function writeOne(call: AgentCall, path: string, content: Readable): Promise<WrittenFile> {
  const replay = new Replay(content);
  const write = (as: AsUser): Promise<{ path: string; type: string }> =>
    guestWork(call, { action: 'file.write', detail: { path } }, async (guest) => {
      await guest.fileWrite({ path: guestPath(path), parents: true, ...as }, replay.bytes());
      return guest.fileStat(guestPath(path), as);
    });
  try {
    const { result, asRoot } = await withRootsHelp(call, write);
    if (asRoot) await handOver(call, result.path);
    return { path: result.path, name: posix.basename(result.path), type: 'file' };
  } finally {
    await replay.close();
  }
}

/** A stream whose beginning can be sent again: the guest refuses a write before it takes more than that of it. */
class Replay {
  readonly #source: AsyncIterator<Buffer>;
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;

  constructor(content: Readable) {
    // Left early, the stream must live on: destroying a request's takes its answer with it.
    this.#source = content.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  }

  /** Lets go of the stream, so that somebody else can read it to its end. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async *bytes(): AsyncGenerator<Buffer> {
    if (this.#kept === undefined) throw new CasemateError('file_denied', 'The file may not be written.');
    yield* [...this.#kept];
    for (let step = await this.#next(); step.done !== true; step = await this.#next()) {
      this.#keep(step.value);
      yield step.value;
    }
  }

  /** Whatever ends a body early is its sender's doing. */
  async #next(): Promise<IteratorResult<Buffer>> {
    try {
      return await this.#source.next();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new CasemateError('invalid_request', `The body cannot be read to its end: ${why}.`);
    }
  }

  #keep(piece: Buffer): void {
    this.#keptBytes += piece.length;
    if (this.#keptBytes > replayBytesMax) this.#kept = undefined;
    else this.#kept?.push(piece);
  }
}
