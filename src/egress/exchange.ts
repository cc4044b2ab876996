/** One request as the proxy judges it, by whichever version of HTTP it came, and its refusal in words. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { canonicalHost, printable } from '../policy/host.ts';
import { judgeRequest, type Verdict } from '../policy/match.ts';
import { BodyRefusal } from './bodyLimits.ts';
import type { OpenFlow } from './openFlow.ts';
import { SecretRefusal } from './secrets.ts';
import { UpstreamRefusal } from './upstream.ts';

export type AnyRequest = IncomingMessage | Http2ServerRequest;
export type AnyResponse = ServerResponse | Http2ServerResponse;
export type Refused = Verdict & { allowed: false };

export interface Exchange {
  readonly flow: OpenFlow;
  readonly method: string;
  /** In origin form. */
  readonly path: string;
  readonly rule: string;
}

export function isHttp2(request: AnyRequest): request is Http2ServerRequest {
  return request instanceof Http2ServerRequest;
}

export function judge(flow: OpenFlow, request: { readonly method: string; readonly path: string }): Verdict {
  return judgeRequest(flow.sandbox.policy, flow.target, flow.protocol, request);
}

/** The request's line in origin form, or why it is refused. Whatever names a server has to name the connection's. */
export function readLine(flow: OpenFlow, request: AnyRequest): { method: string; path: string } | Refused {
  const method = request.method ?? '';
  const url = request.url ?? '';
  const scheme = flow.protocol === 'tls' ? 'https' : 'http';
  const named = authoritiesOf(request);
  if (named === undefined || !named.every((authority) => namesPlace(flow, authority))) {
    return mismatch(flow, (named ?? ['nobody, or several hosts']).join(', '));
  }
  if (isHttp2(request) && request.scheme !== scheme) return mismatch(flow, `${request.scheme}:`);
  if (url.startsWith('/') || url === '*') return { method, path: url };
  const slash = url.indexOf('/', scheme.length + 3);
  const authority = url.slice(scheme.length + 3, slash < 0 ? undefined : slash);
  if (!url.startsWith(`${scheme}://`) || !namesPlace(flow, authority)) return mismatch(flow, url);
  return { method, path: slash < 0 ? '/' : url.slice(slash) };
}

/** HTTP/1.1 has one Host line; HTTP/2 one :authority, and a Host beside it counts too (RFC 9113 §8.3.1). */
function authoritiesOf(request: AnyRequest): string[] | undefined {
  const values = (wanted: string): string[] =>
    request.rawHeaders.filter((_, at, all) => at % 2 === 1 && all[at - 1]?.toLowerCase() === wanted);
  const hosts = values('host');
  const found = isHttp2(request) ? [...values(':authority'), ...hosts] : hosts;
  return found.length === 0 || hosts.length > 1 ? undefined : found;
}

function mismatch(flow: OpenFlow, asked: string): Refused {
  const hint = `The connection leads to ${flow.name}, but the request asks for ${printable(asked)}.`;
  return { allowed: false, code: 'host_mismatch', rule: 'HTTP rules', hint };
}

function namesPlace(flow: OpenFlow, authority: string): boolean {
  const match = /^([^:]*)(?::(\d{1,5}))?$/.exec(authority);
  const usual = flow.protocol === 'tls' ? 443 : 80;
  return (
    canonicalHost(match?.[1] ?? '') === flow.target.host && Number(match?.[2] ?? usual) === flow.target.port
  );
}

export function refusalOf(error: unknown): Refused {
  const refusal = { allowed: false } as const;
  if (error instanceof UpstreamRefusal) {
    return { ...refusal, code: error.code, rule: error.rule, hint: error.message };
  }
  if (error instanceof BodyRefusal) {
    return { ...refusal, code: error.code, rule: 'limit of bodies', hint: error.message };
  }
  if (error instanceof SecretRefusal) {
    return { ...refusal, code: 'secret_refused', rule: 'secret rules', hint: error.message };
  }
  // Its text could hold a header's value.
  const code = (error as NodeJS.ErrnoException).code ?? 'broken';
  const hint = `The request failed upstream: ${code}.`;
  return { ...refusal, code: 'upstream_unreachable', rule: 'none', hint };
}

export function statusOf(verdict: Refused): number {
  if (verdict.code === 'upstream_unreachable') return 502;
  if (verdict.code === 'request_too_large') return 413;
  return verdict.code === 'host_mismatch' ? 421 : 403;
}

/** The same content as an event and as the body of the answer. */
export function tell(flow: OpenFlow, request: AnyRequest, verdict: Refused): string {
  const { code, rule, hint } = verdict;
  const host = flow.name;
  flow.sandbox.deny({
    code,
    rule,
    hint,
    host,
    port: flow.target.port,
    protocol: flow.protocol === 'tls' ? 'tls' : 'http',
    method: request.method ?? '',
    path: printable((request.url ?? '').split('?', 1)[0] ?? ''),
  });
  return `${JSON.stringify({ code, host, rule, hint })}\n`;
}
