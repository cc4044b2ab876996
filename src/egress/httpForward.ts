/** Sends a judged request on, streaming both ways: nothing is held whole, and the framing is written anew. */
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { constants } from 'node:http2';
import { type Duplex, pipeline } from 'node:stream';
import { type BodyLimits, bodyLimitsOf, headersFor } from '../policy/match.ts';
import { AtMost, limitedBody, refuseLength, refuseUpgrade } from './bodyLimits.ts';
import { type AnyRequest, type AnyResponse, type Exchange, isHttp2, refusalOf, tell } from './exchange.ts';
import { asObject, endToEnd, pairs } from './httpHeaders.ts';
import { type Answer, type Sending, upstreamFor } from './httpUpstream.ts';
import { bodyWithSecrets } from './secretBody.ts';
import { applySecrets, type Place } from './secrets.ts';

function placeOf({ flow }: Exchange): Place {
  return { host: flow.target.host, encrypted: flow.protocol === 'tls' };
}

function limitsOf({ flow, method, path }: Exchange): BodyLimits {
  return bodyLimitsOf(flow.sandbox.policy, flow.target, flow.protocol, { method, path });
}

/** Headers that tell the length of the body that is sent, where secrets have changed it. */
function ofLength(headers: readonly string[], bytes: number | undefined): readonly string[] {
  if (bytes === undefined) return headers;
  return headers.map((text, at) =>
    at % 2 === 1 && headers[at - 1]?.toLowerCase() === 'content-length' ? String(bytes) : text,
  );
}

/** The request as the host gets it: with the rules' headers and the secrets, whichever version of HTTP carries it. */
function filled(exchange: Exchange, request: AnyRequest): { headers: readonly string[]; path: string } {
  const { flow } = exchange;
  const rules = headersFor(flow.sandbox.policy, flow.target, flow.protocol, exchange);
  const headers = endToEnd(request.rawHeaders);
  if (isHttp2(request) && request.headers.host === undefined) headers.unshift('host', request.authority);
  return applySecrets(flow.sandbox.secrets, placeOf(exchange), { headers, path: exchange.path }, rules);
}

function bodyOf(request: AnyRequest): Sending['body'] {
  if (isHttp2(request)) {
    if (request.stream.endAfterHeaders) return 'none';
    return request.headers['content-length'] === undefined ? 'chunked' : 'counted';
  }
  if (request.headers['transfer-encoding'] !== undefined) return 'chunked';
  return Number(request.headers['content-length'] ?? 0) === 0 ? 'none' : 'counted';
}

/** @throws UpstreamRefusal, SecretRefusal, BodyRefusal, or what broke before the answer began. */
export async function forwardRequest(
  exchange: Exchange,
  request: AnyRequest,
  response: AnyResponse,
): Promise<void> {
  const startedAt = Date.now();
  const { flow, method } = exchange;
  const counted = { sent: 0, received: 0, status: 0 };
  const body = bodyOf(request);
  const limits = limitsOf(exchange);
  let refusal: Error | undefined; // of the body: it ends what is sent, and is the reason
  const ended = (error: Error): void => {
    refusal ??= error;
  };
  const limited = limitedBody(request, body, limits, ended);
  const place = placeOf(exchange);
  const { source, bytes } = await bodyWithSecrets(flow.sandbox.secrets, place, { request: limited, body });
  const { headers, path } = filled(exchange, request);
  const sent = await upstreamFor(flow).send({
    headers: ofLength(headers, bytes),
    path,
    method,
    body,
    http2: isHttp2(request),
  });
  if (flow.over || response.destroyed) return sent.destroy();
  response.once('close', () => {
    if (!response.writableFinished) sent.destroy(); // the sandbox went away
  });
  source.once('error', ended);
  if (sent.body !== undefined) {
    source.on('data', (chunk: Buffer) => {
      counted.sent += chunk.length;
    });
    pipeline(source, sent.body, () => {}); // an error shows in the answer
  }
  const answer = await sent.answer.catch((error: unknown) => {
    throw refusal ?? error;
  });
  counted.status = answer.status;
  const atMost = limitedAnswer(exchange, request, answer, limits);
  answer.body.on('data', (chunk: Buffer) => {
    counted.received += chunk.length;
  });
  await reply(atMost, response);
  tellFlow(exchange, startedAt, counted);
}

/** @throws BodyRefusal where its head tells that it is too long; later it is cut, and told of. */
function limitedAnswer(
  exchange: Exchange,
  request: AnyRequest,
  answer: Answer,
  { responseBytesMax }: BodyLimits,
): Answer {
  if (responseBytesMax === Number.POSITIVE_INFINITY || exchange.method === 'HEAD' || answer.status === 304)
    return answer;
  try {
    refuseLength('response', asObject(answer.headers)['content-length'], responseBytesMax);
  } catch (error) {
    answer.body.destroy();
    throw error;
  }
  const body = new AtMost('response', responseBytesMax);
  body.once('error', (error) => tell(exchange.flow, request, refusalOf(error)));
  return { ...answer, body: pipeline(answer.body, body, () => {}) };
}

/** Resolves when the answer is through, or when one side has broken it off. */
function reply(answer: Answer, response: AnyResponse): Promise<void> {
  return new Promise((resolve) => {
    if (!('stream' in response)) {
      response.writeHead(answer.status, answer.message, [...answer.headers]);
      answer.body.once('end', () => response.addTrailers(pairs(answer.trailers())));
      pipeline(answer.body, response, () => resolve());
      return;
    }
    const { stream } = response;
    if (stream.destroyed) return resolve();
    const headers = { ':status': answer.status, ...asObject(answer.headers) };
    // gRPC tells an error in headers that end the stream: they stay what they are.
    stream.respond(headers, answer.over ? { endStream: true } : { waitForTrailers: true });
    if (answer.over) return resolve();
    answer.body.once('end', () => response.addTrailers(asObject(answer.trailers())));
    pipeline(answer.body, stream, (error) => {
      if (error) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      resolve();
    });
  });
}

/** WebSocket and the like: after the server agreed, bytes pass both ways. */
export function forwardUpgrade(
  exchange: Exchange,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const startedAt = Date.now();
  refuseUpgrade(limitsOf(exchange));
  const upgrade = ['Connection', 'Upgrade', 'Upgrade', request.headers.upgrade ?? ''];
  const { headers, path } = filled(exchange, request);
  const { agent } = upstreamFor(exchange.flow);
  const outgoing = httpRequest({
    agent,
    method: exchange.method,
    path,
    headers: [...headers, ...upgrade],
    setHost: false,
  });
  return new Promise((resolve, reject) => {
    outgoing.on('error', reject);
    socket.once('close', () => outgoing.destroy());
    outgoing.once('upgrade', (answer, upstream, first) => {
      upstream.on('error', () => socket.destroy());
      socket.write(statusLines(answer, answer.rawHeaders));
      socket.write(first);
      upstream.write(head);
      let sent = head.length;
      let received = first.length;
      socket.on('data', (chunk: Buffer) => {
        sent += chunk.length;
      });
      upstream.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      socket.pipe(upstream);
      upstream.pipe(socket);
      socket.once('close', () => {
        upstream.destroy();
        tellFlow(exchange, startedAt, { sent, received, status: 101 });
        resolve();
      });
      upstream.once('close', () => socket.destroy());
    });
    outgoing.once('response', (answer) => {
      socket.write(statusLines(answer, [...endToEnd(answer.rawHeaders), 'Connection', 'close']));
      pipeline(answer, socket, () => resolve());
    });
    outgoing.end();
  });
}

function statusLines(answer: IncomingMessage, headers: readonly string[]): string {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let at = 0; at + 1 < headers.length; at += 2) lines.push(`${headers[at]}: ${headers[at + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function tellFlow(
  exchange: Exchange,
  startedAt: number,
  result: { sent: number; received: number; status: number },
): void {
  const { flow, rule, method, path } = exchange;
  flow.sandbox.emit({
    kind: 'flow',
    sandboxId: flow.sandbox.id,
    at: new Date().toISOString(),
    host: flow.name,
    port: flow.target.port,
    protocol: flow.protocol,
    inspected: true,
    rule,
    bytesSent: result.sent,
    bytesReceived: result.received,
    durationMs: Date.now() - startedAt,
    method,
    path: path.split('?', 1)[0] ?? '',
    status: result.status,
  });
}
