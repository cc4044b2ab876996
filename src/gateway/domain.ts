/** Hosts that clients ask for, and the domain below which ports of sandboxes are found. */
import type { IncomingMessage } from 'node:http';

/** The host that the client asked for, with its port. */
export function hostOf(request: IncomingMessage): string {
  const authority = request.headers[':authority'];
  return (typeof authority === 'string' ? authority : request.headers.host) ?? '';
}

/**
 * The `domain` that a client is told, from the host that it asked: `{port}-{id}.{domain}` leads here. Loopback is called
 * `localhost`, below which browsers and curl find every name. Who came by an address is told the server's own domain.
 */
export function domainOf(request: IncomingMessage, own?: string): string {
  if (own !== undefined) {
    const byAddress = /^(?:[\d.]+|\[[\da-f:.]+\]|localhost)(:\d+)?$/i.exec(hostOf(request));
    if (byAddress !== null) return `${own}${byAddress[1] ?? ''}`;
  }
  const host = hostOf(request).replace(/^(?:api|sandbox)\./, '');
  return host.replace(/^(?:127\.0\.0\.1|\[::1\])(?=:|$)/, 'localhost');
}
