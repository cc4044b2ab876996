/** The token of a signed preview URL on a request: taken from its query or its cookie, and never shown to the sandbox. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { hostOf } from './domain.ts';

/** The query's parameter, and the cookie that a browser brings with all that a page asks for after it. */
export const previewParameter = 'casemate-preview';

export interface PreviewToken {
  readonly token: string;
  readonly from: 'query' | 'cookie';
}

/** A page of another host gets nothing done with a visitor's cookie. */
export function previewTokenOf(request: IncomingMessage): PreviewToken | undefined {
  const [, query = ''] = cut(request.url ?? '', '?');
  const asked = query.split('&').find((part) => part.startsWith(`${previewParameter}=`));
  if (asked !== undefined) return { token: asked.slice(previewParameter.length + 1), from: 'query' };
  const kept = cookiesOf(request.headers).find((part) => part.startsWith(`${previewParameter}=`));
  if (kept === undefined || isForeign(request)) return undefined;
  return { token: kept.slice(previewParameter.length + 1), from: 'cookie' };
}

/** Browsers say where a request comes from that is no plain visit (Fetch Standard, "Origin"; Fetch Metadata). */
function isForeign(request: IncomingMessage): boolean {
  const { origin, 'sec-fetch-site': site, 'sec-fetch-mode': mode } = request.headers;
  if (origin !== undefined && origin.replace(/^[a-z]+:\/\//, '') !== hostOf(request)) return true;
  return (site === 'cross-site' || site === 'same-site') && mode !== 'navigate';
}

/** The path and query as the server inside gets them. */
export function withoutPreviewToken(url: string): string {
  const [path, query] = cut(url, '?');
  if (query === undefined) return url;
  const rest = query.split('&').filter((part) => !part.startsWith(`${previewParameter}=`));
  return rest.length === 0 ? path : `${path}?${rest.join('&')}`;
}

/** The Cookie header as the server inside gets it; undefined where nothing is left. */
export function withoutPreviewCookie(headers: IncomingHttpHeaders): string | undefined {
  const rest = cookiesOf(headers).filter((part) => !part.startsWith(`${previewParameter}=`));
  return rest.length === 0 ? undefined : rest.join('; ');
}

/** For this host alone, and gone when the token is. */
export function previewCookie(token: string, leftMs: number, isSecure: boolean): string {
  const seconds = Math.floor(leftMs / 1000);
  const secure = isSecure ? '; Secure' : '';
  return `${previewParameter}=${token}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`;
}

function cookiesOf({ cookie }: IncomingHttpHeaders): string[] {
  return (cookie ?? '').split(';').flatMap((part) => part.trim() || []);
}

function cut(text: string, at: string): [string, string | undefined] {
  const index = text.indexOf(at);
  return index < 0 ? [text, undefined] : [text.slice(0, index), text.slice(index + 1)];
}
