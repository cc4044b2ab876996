/** What of E2B's control plane Casemate does not have yet: each route says so. */
import { unsupported } from './errors.ts';
import type { Route } from './route.ts';

const missing: readonly [feature: string, method: Route['method'], path: string][] = [
  ['volumes', 'GET', '/volumes'],
  ['volumes', 'POST', '/volumes'],
  ['volumes', 'GET', '/volumes/:id'],
  ['volumes', 'DELETE', '/volumes/:id'],
];

export const hostRoutes: readonly Route[] = [
  ...missing.map(
    ([feature, method, path]): Route => ({
      method,
      path,
      status: 501,
      handle: async () => {
        throw unsupported(feature);
      },
    }),
  ),
];
