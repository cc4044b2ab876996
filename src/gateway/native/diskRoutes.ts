/** Routes of the host's disk: who takes it up, and the janitor. */
import type { Static } from '@sinclair/typebox';
import * as shapes from '../../../schema/disk.ts';
import type { Route } from './route.ts';

export const diskRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/v1/disk',
    summary: 'Tell who takes up the disk: all of it for administrators, a tenant’s own for others',
    status: 200,
    answer: shapes.DiskReport,
    handle: ({ core, principal }) => core.disk.report(principal),
  },
  {
    method: 'POST',
    path: '/v1/disk/clean',
    summary: 'Take away what is on the disk and has no owner in the database',
    body: shapes.CleanDisk,
    status: 200,
    answer: shapes.CleanedDisk,
    handle: ({ core, principal, body }) => {
      const { dryRun } = body as Static<typeof shapes.CleanDisk>;
      return core.disk.clean(principal, dryRun ?? false);
    },
  },
];
