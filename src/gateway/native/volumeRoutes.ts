/** Routes of volumes. */
import type { Static } from '@sinclair/typebox';
import * as shapes from '../../../schema/volumes.ts';
import type { Route } from './route.ts';
import { idOf } from './sandboxRoutes.ts';
import { volumeView } from './views.ts';

const path = '/v1/volumes/{volume}';
const params = { volume: shapes.VolumeName };

export const volumeRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/volumes',
    summary: 'Create a volume: empty, or a copy of another one as it is now',
    body: shapes.CreateVolume,
    status: 201,
    answer: shapes.Volume,
    handle: async ({ core, principal, body }) =>
      volumeView(await core.volumes.create(principal, body as Static<typeof shapes.CreateVolume>)),
  },
  {
    method: 'GET',
    path: '/v1/volumes',
    summary: 'List volumes, by name',
    status: 200,
    answer: shapes.VolumeList,
    handle: async ({ core, principal }) => ({ items: (await core.volumes.list(principal)).map(volumeView) }),
  },
  {
    method: 'GET',
    path,
    summary: 'Describe a volume',
    params,
    status: 200,
    answer: shapes.Volume,
    handle: async (call) =>
      volumeView(await call.core.volumes.describe(call.principal, idOf(call, 'volume'))),
  },
  {
    method: 'DELETE',
    path,
    summary: 'Delete a volume and all that is in it; refused while a sandbox has it',
    params,
    status: 204,
    handle: (call) => call.core.volumes.remove(call.principal, idOf(call, 'volume')),
  },
];
