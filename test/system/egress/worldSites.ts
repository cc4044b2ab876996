/** The world's sites for git and for package clients: git's own server program, and files of a folder for each host. */
import { spawn } from 'node:child_process';
import { createReadStream, existsSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import type { SecureContext } from 'node:tls';

export interface SitesOptions {
  readonly address: string;
  /** A folder for each host name; one of `git.…` has bare repositories. */
  readonly directory: string;
  readonly contextOf: (name: string, done: (error: Error | null, context?: SecureContext) => void) => void;
}

export function serveSites({ address, directory, contextOf }: SitesOptions): void {
  const server = createServer({ SNICallback: contextOf }, (request, response) => {
    const host = request.headers.host ?? '';
    const url = new URL(request.url ?? '/', `https://${host}`);
    if (host.startsWith('git.')) return git(request, response, { url, root: join(directory, host) });
    const file = join(
      directory,
      host,
      url.pathname.endsWith('/') ? `${url.pathname}index.html` : url.pathname,
    );
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end();
    const type = file.endsWith('.html') ? 'text/html' : 'application/octet-stream';
    response.writeHead(200, { 'content-type': type });
    createReadStream(file).pipe(response);
  });
  server.listen(443, address);
}

/** A CGI program (RFC 3875): the request's body is its input, a head and a body its output. */
function git(
  request: IncomingMessage,
  response: ServerResponse,
  { url, root }: { readonly url: URL; readonly root: string },
): void {
  const { method, headers } = request;
  const backend = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      ...process.env,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: method ?? 'GET',
      CONTENT_TYPE: headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(headers['git-protocol'] ?? ''),
    },
  });
  request.pipe(backend.stdin);
  let head = Buffer.alloc(0);
  const read = (part: Buffer): void => {
    head = Buffer.concat([head, part]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    backend.stdout.off('data', read);
    const lines = head.toString('latin1', 0, end).split('\r\n');
    const made = lines.map((line) => line.split(/: */, 2) as [string, string]);
    const status = made.find(([name]) => name === 'Status')?.[1].split(' ')[0];
    response.writeHead(Number(status ?? 200), Object.fromEntries(made.filter(([name]) => name !== 'Status')));
    response.write(head.subarray(end + 4));
    backend.stdout.pipe(response);
  };
  backend.stdout.on('data', read);
}
