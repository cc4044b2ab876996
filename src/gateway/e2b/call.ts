/** What every agent call of one sandbox is made with: who asks, which sandbox, as which user inside. */
import { createContextKey, type HandlerContext } from '@connectrpc/connect';
import type { IncomingMessage } from 'node:http';
import { CasemateError } from '../../base/errors.ts';
import type { Principal } from '../../control/access.ts';
import type { Core } from '../../control/core.ts';
import type { AuditAction } from '../../control/recorder.ts';
import type { GuestClient } from '../../guest/client.ts';

export interface AgentCall {
  readonly core: Core;
  readonly principal: Principal;
  readonly sandboxId: string;
  /** Undefined for the sandbox's own default. */
  readonly user: string | undefined;
  /** By a signed URL alone: whoever was given one is not the key's holder, and gets the user's rights only. */
  readonly isSigned: boolean;
}

export const agentCallKey = createContextKey<AgentCall | undefined>(undefined);

export function callOf(context: HandlerContext): AgentCall {
  const call = context.values.get(agentCallKey);
  if (call === undefined) throw new CasemateError('unauthenticated', 'The call was not let in.');
  return call;
}

/** Requests that were let in and wait for their service. */
export const admitted = new WeakMap<IncomingMessage, AgentCall>();

export interface AsUser {
  readonly user?: string;
}

/** The user where one was named. */
export function asUser({ user }: AgentCall): AsUser {
  return user === undefined ? {} : { user };
}

export function guestWork<Result>(
  call: AgentCall,
  record: { action: AuditAction; detail: Record<string, unknown> } | undefined,
  work: (guest: GuestClient) => Promise<Result>,
): Promise<Result> {
  return call.core.withGuest(call.principal, call.sandboxId, record, work);
}

/**
 * E2B's agent is root and hands what it makes to the user; its clients write to /etc or / without asking. So does this:
 * the user's own rights first, root's where they do not reach. Who holds the key or the sandbox's token may be root in it
 * anyway; who holds a signed URL may not.
 */
export async function withRootsHelp<Result>(
  call: AgentCall,
  work: (as: AsUser) => Promise<Result>,
): Promise<{ result: Result; asRoot: boolean }> {
  try {
    return { result: await work(asUser(call)), asRoot: false };
  } catch (error) {
    const isDenied = error instanceof CasemateError && error.code === 'file_denied';
    if (!isDenied || call.user === 'root' || call.isSigned) throw error;
    return { result: await work({ user: 'root' }), asRoot: true };
  }
}

/** Gives the user what was made with root's rights. */
export async function handOver(call: AgentCall, path: string): Promise<void> {
  const { core, principal, sandboxId } = call;
  const owner = call.user ?? core.sandboxes.get(principal, sandboxId).user;
  const argv = ['chown', '--no-dereference', /^\d+$/.test(owner) ? owner : `${owner}:`, '--', path];
  const { stream } = await core.startExec(principal, sandboxId, { argv, user: 'root' });
  for await (const _ of stream.output); // its words are of no use to the caller
  const exited = await stream.exited;
  if (exited?.exitCode !== 0) throw new CasemateError('internal', `The owner of ${path} could not be set.`);
}
