/** What a route of E2B's control plane is. */
import type { TSchema } from '@sinclair/typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '../../control/access.ts';
import type { Core } from '../../control/core.ts';
import type { InternetCeiling } from './network.ts';

export interface Call {
  readonly core: Core;
  readonly principal: Principal;
  /** The path's `{id}`, empty where it has none. */
  readonly id: string;
  readonly query: unknown;
  readonly body: unknown;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** What `{port}-{id}.` is followed by for this client. */
  readonly domain: string;
  /** Whether ports of sandboxes take visitors without a token. */
  readonly publicPorts: boolean;
  /** What a sandbox gets that asks for the internet. */
  readonly internet: InternetCeiling;
}

/** What the core tells of a template that comes with Casemate. */
export type TemplateInfo = Awaited<ReturnType<Core['templates']>>[number];

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `:id` for the thing that it is about. */
  readonly path: string;
  readonly body?: TSchema;
  readonly query?: TSchema;
  readonly status: number;
  /** Who asks, where that is told by something else than an API key. @throws CasemateError `unauthenticated` */
  readonly admit?: (core: Core, request: FastifyRequest) => Principal;
  readonly handle: (call: Call) => Promise<unknown>;
}
