/** Routes of pause, resume, snapshots and forks. */
import type { Static } from '@sinclair/typebox';
import * as api from '../../../schema/api.ts';
import { limits } from '../../base/limits.ts';
import type { Route } from './route.ts';
import { idOf } from './sandboxRoutes.ts';
import { sandboxView, snapshotView } from './views.ts';

const sandboxPath = '/v1/sandboxes/{sandboxId}';
const sandboxParams = { sandboxId: api.SandboxId };
const snapshotPath = '/v1/snapshots/{snapshot}';
const snapshotParams = { snapshot: api.SnapshotName };

export const snapshotRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: `${sandboxPath}/pause`,
    summary: 'Write a sandbox to disk; it costs nothing else until it is resumed',
    params: sandboxParams,
    body: api.PauseSandbox,
    status: 200,
    answer: api.Sandbox,
    handle: async (call) => {
      const { keepMemory } = call.body as Static<typeof api.PauseSandbox>;
      const options = { keepMemory: keepMemory ?? true };
      return sandboxView(await call.core.sandboxes.pause(call.principal, idOf(call), options));
    },
  },
  {
    method: 'POST',
    path: `${sandboxPath}/resume`,
    summary: 'Let a paused sandbox go on where it stood',
    params: sandboxParams,
    body: api.ResumeSandbox,
    status: 200,
    answer: api.Sandbox,
    handle: async (call) => {
      const { timeoutMs } = call.body as Static<typeof api.ResumeSandbox>;
      return sandboxView(await call.core.sandboxes.resume(call.principal, idOf(call), timeoutMs));
    },
  },
  {
    method: 'POST',
    path: `${sandboxPath}/fork`,
    summary: 'Start children from what a running sandbox is now; it goes on',
    params: sandboxParams,
    body: api.ForkSandbox,
    status: 201,
    answer: api.ForkedChildren,
    handle: async (call) => {
      const { count } = call.body as Static<typeof api.ForkSandbox>;
      const children = await call.core.snapshots.fork(call.principal, idOf(call), count);
      return {
        children: children.map((child) =>
          'sandbox' in child ? { sandbox: sandboxView(child.sandbox) } : child.error.toBody(call.request.id),
        ),
      };
    },
  },
  {
    method: 'POST',
    path: `${sandboxPath}/snapshots`,
    summary: 'Take a snapshot of a running sandbox, which goes on',
    params: sandboxParams,
    body: api.TakeSnapshot,
    status: 201,
    answer: api.Snapshot,
    handle: async (call) => {
      const request = call.body as Static<typeof api.TakeSnapshot>;
      return snapshotView(await call.core.snapshots.take(call.principal, idOf(call), request));
    },
  },
  {
    method: 'GET',
    path: '/v1/snapshots',
    summary: 'List snapshots, newest first',
    query: api.ListSnapshots,
    status: 200,
    answer: api.SnapshotPage,
    handle: async ({ core, principal, query }) => {
      const { limit, cursor } = query as Static<typeof api.ListSnapshots>;
      const page = core.snapshots.list(principal, {
        limit: limit ?? limits.pageItemsMax,
        ...(cursor === undefined ? {} : { cursor }),
      });
      return { ...page, items: page.items.map(snapshotView) };
    },
  },
  {
    method: 'GET',
    path: snapshotPath,
    summary: 'Describe a snapshot',
    params: snapshotParams,
    status: 200,
    answer: api.Snapshot,
    handle: async (call) => snapshotView(call.core.snapshots.get(call.principal, idOf(call, 'snapshot'))),
  },
  {
    method: 'DELETE',
    path: snapshotPath,
    summary: 'Delete a snapshot; sandboxes that were started from it go on',
    params: snapshotParams,
    status: 204,
    handle: (call) => call.core.snapshots.remove(call.principal, idOf(call, 'snapshot')),
  },
];
