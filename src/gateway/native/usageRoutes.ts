/** Routes of what a sandbox has used over time. */
import type { Static } from '@sinclair/typebox';
import * as api from '../../../schema/api.ts';
import * as shapes from '../../../schema/usage.ts';
import { timeOf } from '../time.ts';
import type { Route } from './route.ts';
import { idOf } from './sandboxRoutes.ts';

export const usageRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/sandboxes/{sandboxId}/metrics/history',
    summary: 'Tell what a sandbox used: samples of the time that it ran, and one of now',
    params: { sandboxId: api.SandboxId },
    query: shapes.UsageQuery,
    status: 200,
    answer: shapes.UsageHistory,
    handle: async (call) => {
      const { start, end } = call.query as Static<typeof shapes.UsageQuery>;
      const window = {
        ...(start === undefined ? {} : { fromMs: timeOf(start, 'start') }),
        ...(end === undefined ? {} : { toMs: timeOf(end, 'end') }),
      };
      const { limits } = call.core.sandboxes.get(call.principal, idOf(call));
      const samples = await call.core.usage.of(call.principal, idOf(call), window);
      return {
        items: samples.map(({ atMs, ...sample }) => ({
          at: new Date(atMs).toISOString(),
          ...sample,
          memoryLimitBytes: limits.memoryMib * 1024 * 1024,
          diskLimitBytes: limits.diskMib * 1024 * 1024,
        })),
      };
    },
  },
];
