/** E2B's control plane: pausing a sandbox, and coming back to one that runs or is paused. */
import type { Static } from '@sinclair/typebox';
import * as rest from '../../../schema/e2b/rest.ts';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { SandboxRow } from '../../store/types.ts';
import { access, firstVersionTimeoutMs, sandboxOf, timeoutMsOf } from './common.ts';
import type { Call, Route } from './route.ts';

/** A conflict is what clients take for "was paused already". */
async function pause(call: Call): Promise<void> {
  const { memory = true } = (call.body ?? {}) as Static<typeof rest.Pause>;
  const { id, state } = sandboxOf(call);
  if (state === 'paused') throw new CasemateError('conflict', `Sandbox ${id} is paused already.`);
  await call.core.sandboxes.pause(call.principal, id, { keepMemory: memory });
}

/** Never shortens the life of a sandbox that runs. */
function extend(call: Call, row: SandboxRow, timeoutMs: number): SandboxRow {
  if (Date.now() + timeoutMs <= Date.parse(row.endsAt)) return row;
  return call.core.sandboxes.setTimeout(call.principal, call.id, timeoutMs);
}

/** 200 where it ran, 201 where it was paused. */
async function connect(call: Call): Promise<unknown> {
  const { timeout, memory = true } = (call.body ?? {}) as Static<typeof rest.Connect>;
  const timeoutMs = timeout === undefined ? limits.sandboxTimeoutMsDefault : timeoutMsOf(timeout);
  const row = sandboxOf(call);
  if (row.state === 'running') return access(call, extend(call, row, timeoutMs));
  const { sandboxes } = call.core;
  let resumed = await sandboxes.resume(call.principal, row.id, timeoutMs);
  // What E2B calls a reboot: files stay, no program of before runs.
  if (!memory && row.pausedFilesOnly !== true) {
    await sandboxes.pause(call.principal, row.id, { keepMemory: false });
    resumed = await sandboxes.resume(call.principal, row.id, timeoutMs);
  }
  call.reply.code(201);
  return access(call, resumed);
}

export const pauseRoutes: readonly Route[] = [
  { method: 'POST', path: '/sandboxes/:id/pause', body: rest.Pause, status: 204, handle: pause },
  { method: 'POST', path: '/v2/sandboxes/:id/connect', body: rest.Connect, status: 200, handle: connect },
  { method: 'POST', path: '/sandboxes/:id/connect', body: rest.Connect, status: 200, handle: connect },
  { method: 'POST', path: '/sandboxes/:id/resume', body: rest.Connect, status: 201, handle: connect },
  {
    method: 'POST',
    path: '/sandboxes/:id/refreshes',
    body: rest.Refresh,
    status: 204,
    handle: async (call) => {
      const { duration } = call.body as Static<typeof rest.Refresh>;
      extend(call, sandboxOf(call), timeoutMsOf(duration ?? firstVersionTimeoutMs / 1000));
    },
  },
];
