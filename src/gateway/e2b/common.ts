/** What several routes of E2B's control plane do alike: find a sandbox, name a template, say how to reach it. */
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { SandboxRow, SandboxState } from '../../store/types.ts';
import { referencePattern } from '../../control/templates/reference.ts';
import { referenceOf } from './buildNames.ts';
import type { Call } from './route.ts';
import { accessView, labels } from './views.ts';

/** What the first protocol version gives a sandbox of which nobody says how long it shall live. */
export const firstVersionTimeoutMs = 15_000;
const visible: readonly SandboxState[] = ['running', 'pausing', 'paused', 'resuming'];

/** A template's or snapshot's name without the tag that everything has. */
export function templateOf(id: string): string {
  return referenceOf(id);
}

/** What a new sandbox starts from: E2B calls snapshots templates too. One's own snapshot hides a template of its name. */
export function sourceOf(
  call: Call,
  id: string,
): { readonly template: string } | { readonly snapshot: string } {
  const name = templateOf(id);
  if (hasSnapshot(call, name)) return { snapshot: name };
  if (new RegExp(referencePattern).test(name)) return { template: name };
  throw new CasemateError('not_found', `template '${id}' not found`);
}

export function hasSnapshot({ core, principal }: Call, name: string): boolean {
  try {
    core.snapshots.get(principal, name);
    return true;
  } catch (error) {
    if (error instanceof CasemateError && error.code === 'not_found') return false;
    throw error;
  }
}

/** @throws CasemateError `invalid_request` */
export function timeoutMsOf(seconds: number): number {
  if (seconds * 1000 <= limits.sandboxTimeoutMsMax) return seconds * 1000;
  throw new CasemateError(
    'invalid_request',
    `Timeout cannot be greater than ${limits.sandboxTimeoutMsMax / 3_600_000} hours.`,
  );
}

/** How to reach a sandbox, with the tokens that open it. */
export function access({ core, domain, publicPorts }: Call, row: SandboxRow): object {
  const needsToken = !publicPorts || row.labels[labels.privatePorts] !== 'no';
  return accessView(row, {
    domain,
    envdAccessToken: core.tokens.of('agent', row.id),
    trafficAccessToken: needsToken ? core.tokens.of('ports', row.id) : undefined,
  });
}

/** A sandbox that can be asked something; what has ended does not exist for E2B's clients. */
export function sandboxOf({ core, principal, id }: Call): SandboxRow {
  const row = core.sandboxes.get(principal, id);
  if (visible.includes(row.state)) return row;
  throw new CasemateError('not_found', `The sandbox ${id} was not found.`);
}

/** Like `sandboxOf`, for what E2B's clients may ask of a running one only. */
export function runningOf(call: Call): SandboxRow {
  const row = sandboxOf(call);
  if (row.state !== 'paused') return row;
  throw new CasemateError('not_found', `The sandbox ${call.id} is paused.`);
}
