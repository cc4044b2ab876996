/** Answers on raw requests of the agent's HTTP routes and of ports. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { CasemateError } from '../../base/errors.ts';
import type { E2bErrorBody } from './errors.ts';

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** An answer with more than code and message, as E2B's proxy gives. */
export class Refusal extends Error {
  readonly body: E2bErrorBody & Readonly<Record<string, unknown>>;

  constructor(body: E2bErrorBody & Readonly<Record<string, unknown>>) {
    super(body.message);
    this.body = body;
  }
}

/** A sandbox that is gone is told apart from one that answers badly by exactly this. */
export function notFoundRefusal(sandboxId: string): Refusal {
  return new Refusal({ sandboxId, message: 'The sandbox was not found', code: 502 });
}

export function closedPortRefusal(sandboxId: string, port: number): Refusal {
  const message = 'The sandbox is running but port is not open';
  return new Refusal({ sandboxId, message, port, code: 502 });
}

/** Whether an error says that nothing of the sandbox answers any more. */
export function isGone(error: unknown): boolean {
  // A conflict is a paused sandbox that traffic does not wake: E2B's proxy knows none of those.
  const codes = ['not_found', 'sandbox_ended', 'node_unavailable', 'guest_protocol', 'conflict'];
  return error instanceof CasemateError && codes.includes(error.code);
}

export function queryOf(request: IncomingMessage): URLSearchParams {
  return new URL(request.url ?? '/', 'http://sandbox').searchParams;
}

export function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?')[0] ?? '/';
}
