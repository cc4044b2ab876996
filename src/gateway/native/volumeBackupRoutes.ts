/** Routes of volumes' backups: one archive out, one archive in. */
import { Readable } from 'node:stream';
import * as shapes from '../../../schema/volumes.ts';
import { RestoreVolumeParams } from '../../../schema/volumeBackups.ts';
import type { Route } from './route.ts';
import { idOf } from './sandboxRoutes.ts';
import { volumeView } from './views.ts';

const path = '/v1/volumes/{volume}/backup';

export const volumeBackupRoutes: readonly Route[] = [
  {
    method: 'GET',
    path,
    summary: 'Back a volume up as it is now: a tar archive with its SHA-256 in the last 512 bytes',
    params: { volume: shapes.VolumeName },
    status: 200,
    answer: 'application/x-tar',
    handle: async (call) => {
      const body = await call.core.volumeBackups.backup(call.principal, idOf(call, 'volume'), call.signal);
      call.reply.type('application/x-tar');
      return body;
    },
  },
  {
    method: 'PUT',
    path,
    summary: 'Create a volume of this name from a backup; it is there when all of it is checked',
    params: RestoreVolumeParams,
    body: 'bytes',
    status: 201,
    answer: shapes.Volume,
    handle: async (call) => {
      const source = call.body instanceof Readable ? call.body : Readable.from([]);
      const name = idOf(call, 'volume');
      return volumeView(await call.core.volumeBackups.restore(call.principal, name, source, call.signal));
    },
  },
];
