/** What a route is: the shapes that validate it are the shapes that the OpenAPI document shows. */
import type { TSchema } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Core } from '../../control/core.ts';
import type { Principal } from '../../control/access.ts';

/** What a handler gets: validated parts, who asks, and the raw request for streams. */
export interface Call {
  readonly core: Core;
  readonly principal: Principal;
  readonly params: Readonly<Record<string, string>>;
  readonly query: unknown;
  readonly body: unknown;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** The server's own, where it has one. */
  readonly domain: string | undefined;
  /** Aborted when the client goes away before the answer is complete. */
  readonly signal: AbortSignal;
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** With `{name}` for parameters. */
  readonly path: string;
  readonly summary: string;
  readonly params?: Readonly<Record<string, TSchema>>;
  readonly query?: TSchema;
  /** A JSON body; `'bytes'` for a raw stream. */
  readonly body?: TSchema | 'bytes';
  readonly headers?: Readonly<Record<string, { description: string }>>;
  /** Needs no API key. */
  readonly keyless?: true;
  readonly status: number;
  /** The shape of a JSON answer; `undefined` for none, text for another media type. */
  readonly answer?: TSchema | string;
  readonly handle: (call: Call) => Promise<unknown>;
}

export function isSchema(value: TSchema | string | undefined): value is TSchema {
  return typeof value === 'object';
}
