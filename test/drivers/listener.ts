/** For tests of our clients alone: a server on a Unix socket that writes down what it was asked. It is no monitor. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Asked {
  readonly call: string;
  readonly body: unknown;
}

/** Listens while `work` runs; `answer` answers each call, with 204 by default. */
export async function withListener(
  work: (socketPath: string, asked: readonly Asked[]) => Promise<void>,
  answer: (response: ServerResponse, call: string) => void = (response) => void response.writeHead(204).end(),
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'casemate-api-'));
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    request.on('end', () => {
      const call = `${request.method} ${request.url}`;
      asked.push({ call, body: text === '' ? undefined : JSON.parse(text) });
      answer(response, call);
    });
  });
  const path = join(folder, 'api');
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await work(path, asked);
  } finally {
    server.closeAllConnections();
    server.close();
    await rm(folder, { recursive: true, force: true });
  }
}
