/** How a wire protocol stands beside Casemate's own on one port: it says which requests are its, and answers them. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export interface WireProtocol {
  /** Whether a request speaks it, told from its host, path and headers alone. */
  takes(request: IncomingMessage): boolean;
  /** Never throws; HTTP/2 arrives in the same shape. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Gives each request to the first protocol that takes it, and the rest to Casemate's own. */
export function withProtocols(protocols: readonly WireProtocol[], own: RequestListener): RequestListener {
  return (request, response) => {
    const protocol = protocols.find((candidate) => candidate.takes(request));
    if (protocol === undefined) own(request, response);
    else protocol.handle(request, response);
  };
}
