/** A tiny server that speaks the exec wire for tests: what it answers is scripted, what it was asked is kept. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const sandboxId = 'abcdefghij0123456789';
export const execId = 'exec0000000000000000';
export const apiKey = 'casemate_0123456789012345678901234567890123456789';

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** Answers a request, or leaves it to the default by returning false. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

export interface WireServer {
  readonly url: string;
  readonly seen: Seen[];
  /** Resolves when a request whose "METHOD path" begins so has been read whole; rejects after 5 s. */
  sawRequest(beginning: string): Promise<Seen>;
  close(): Promise<void>;
}

export function frame(kind: 0 | 1 | 2, payload: string | Uint8Array): Buffer {
  const bytes = Buffer.from(payload);
  const header = Buffer.alloc(5);
  header[0] = kind;
  header.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([header, bytes]);
}

export function eventFrame(value: object): Buffer {
  return frame(0, JSON.stringify(value));
}

export const started = eventFrame({ type: 'started', execId, pid: 7 });

export function exited(exitCode = 0, more: object = {}): Buffer {
  const truncated = { truncatedStdoutBytes: 0, truncatedStderrBytes: 0 };
  return eventFrame({ type: 'exited', execId, exitCode, reason: 'exited', ...truncated, ...more });
}

export function fail(response: ServerResponse, status: number, code: string): boolean {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ error: { code, message: 'it failed', hint: 'do better', requestId: 'r1' } }));
  return true;
}

export const sandboxInfo = {
  id: sandboxId,
  template: 'base',
  runtime: 'gvisor',
  isolation: 'application-kernel',
  state: 'running',
  createdAt: '2026-01-01T00:00:00.000Z',
  endsAt: '2026-01-01T00:05:00.000Z',
  metadata: {},
  labels: { evil: '\u001b[2Jred' },
  limits: { cpus: 1, memoryMib: 512, diskMib: 2048, pids: 256 },
  user: 'user',
  hostname: 'casemate',
};

function answerByDefault(request: IncomingMessage, response: ServerResponse): void {
  const what = `${request.method} ${request.url}`;
  const json = (status: number, value: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
  if (what.startsWith('POST /v1/sandboxes ') || what === 'POST /v1/sandboxes') json(201, sandboxInfo);
  else if (what === `GET /v1/sandboxes/${sandboxId}`) json(200, sandboxInfo);
  else if (what.startsWith('GET /v1/sandboxes?') || what === 'GET /v1/sandboxes')
    json(200, { items: [sandboxInfo] });
  else if (what.includes('/stdin?') || what.endsWith('/stdin')) json(200, { bytes: 0 });
  else if (what.endsWith('/signal') || what.startsWith('DELETE ')) response.writeHead(204).end();
  else fail(response, 404, 'not_found');
}

export async function startWireServer(handle: Handler = () => false): Promise<WireServer> {
  const seen: Seen[] = [];
  const waiting: { beginning: string; resolve: (seen: Seen) => void }[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { method, url, headers, body: Buffer.concat(chunks) };
      seen.push(one);
      for (const waiter of waiting) if (`${method} ${url}`.startsWith(waiter.beginning)) waiter.resolve(one);
    });
    void (async () => {
      if (!(await handle(request, response))) answerByDefault(request, response);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    sawRequest: (beginning) =>
      new Promise((resolve, reject) => {
        const before = seen.find((one) => `${one.method} ${one.url}`.startsWith(beginning));
        if (before !== undefined) return resolve(before);
        const timer = setTimeout(() => reject(new Error(`no request "${beginning}" came`)), 5_000);
        waiting.push({
          beginning,
          resolve: (one) => {
            clearTimeout(timer);
            resolve(one);
          },
        });
      }),
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
