/** The browsable page of the API: Swagger UI, read into memory while the program still may read files. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';

const folder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'));
const css = readFileSync(join(folder, 'swagger-ui.css'));
const bundle = readFileSync(join(folder, 'swagger-ui-bundle.js'));
const start = `window.onload = () => SwaggerUIBundle({ url: '/openapi.json', dom_id: '#page', deepLinking: true });`;
const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Casemate API</title><link rel="stylesheet" href="/docs/page.css"></head>
<body><div id="page"></div><script src="/docs/bundle.js"></script><script src="/docs/start.js"></script></body></html>`;

const policy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

export function serveDocs(fastify: FastifyInstance, document: object): void {
  const assets: [path: string, type: string, body: string | Buffer][] = [
    ['/docs', 'text/html; charset=utf-8', page],
    ['/docs/page.css', 'text/css', css],
    ['/docs/bundle.js', 'text/javascript', bundle],
    ['/docs/start.js', 'text/javascript', start],
    ['/openapi.json', 'application/json', JSON.stringify(document)],
  ];
  for (const [path, type, body] of assets) {
    fastify.get(path, (_request, reply) =>
      reply.type(type).header('content-security-policy', policy).send(body),
    );
  }
}
