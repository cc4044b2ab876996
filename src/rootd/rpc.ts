/** Answers the server's requests. The server is not trusted: every parameter is checked before it is used. */

import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { CasemateError } from '../base/errors.ts';
import { sandboxIdPattern } from '../base/ids.ts';
import { limits } from '../base/limits.ts';
import type { SandboxLimits } from '../runtime/driver.ts';
import * as build from './buildParams.ts';
import {
  type RootAnswer,
  type RootDiskKind,
  type RootInstance,
  type RootMethod,
  type RootMethods,
  type RootProgress,
  type RootRequest,
  rootLineBytesMax,
} from './protocol.ts';
import * as volume from './volumeParams.ts';

/** One handler a method; `progress` may be called by long ones. */
export type RootHandlers = {
  [Method in RootMethod]: (
    params: RootMethods[Method]['params'],
    progress: (progress: RootProgress) => void,
  ) => Promise<RootMethods[Method]['result']>;
};

const diskKinds: readonly RootDiskKind[] = ['sandbox', 'snapshot', 'volume', 'cache'];
const makesSandbox: ReadonlySet<string> = new Set<RootMethod>(['create', 'restore', 'startLayer']);

/** Serves requests until the socket ends; then `onEnd` is called once. */
export function serveRoot(
  socket: Duplex,
  handlers: RootHandlers,
  onEnd: () => void,
): (answer: RootAnswer) => void {
  const send = (answer: RootAnswer): void => {
    if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
  };
  const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
  socket.on('error', () => socket.destroy());
  lines.on('line', (line) => {
    if (line.length > rootLineBytesMax) return socket.destroy();
    void answer(line, handlers, send, () => socket.writable);
  });
  lines.on('close', onEnd);
  return send;
}

async function answer(
  line: string,
  handlers: RootHandlers,
  send: (answer: RootAnswer) => void,
  isHeard: () => boolean,
): Promise<void> {
  let number = 0;
  try {
    const request = JSON.parse(line) as RootRequest;
    number = Number(request.number);
    const result = await dispatch(handlers, request, (progress) => send({ number, progress }));
    // The server that asked has died, and the next one has been told what runs: this one would be nobody's.
    if (!isHeard() && makesSandbox.has(request.method))
      await handlers.destroy({ id: (result as RootInstance).id }, () => {});
    send({ number, result });
  } catch (thrown) {
    const error = CasemateError.from(thrown);
    // The server is Casemate's own: it gets the reason of an internal failure, to log it.
    const message = error.code === 'internal' ? String(error.cause ?? error) : error.message;
    send({ number, error: { code: error.code, message } });
  }
}

async function dispatch(
  handlers: RootHandlers,
  request: RootRequest,
  progress: (progress: RootProgress) => void,
): Promise<unknown> {
  const params = (request.params ?? {}) as Record<string, unknown>;
  switch (request.method) {
    case 'survivors':
    case 'templates':
    case 'snapshots':
    case 'volumes':
    case 'diskUse':
      return handlers[request.method]({}, progress);
    case 'probe':
      return handlers.probe(
        params.runtime === undefined ? {} : { runtime: templateName(params, 'runtime') },
        progress,
      );
    case 'create':
      return handlers.create(
        {
          template: templateName(params),
          runtime: templateName(params, 'runtime'),
          limits: limitsOf(params),
        },
        progress,
      );
    case 'setLimits':
      return handlers.setLimits({ id: sandboxId(params), limits: limitsOf(params) }, progress);
    case 'snapshot':
      return handlers.snapshot(
        {
          id: sandboxId(params),
          snapshotId: sandboxId(params, 'snapshotId'),
          keepRunning: params.keepRunning === true,
          transient: params.transient === true,
          filesOnly: params.filesOnly === true,
        },
        progress,
      );
    case 'restore': {
      const snapshotId = sandboxId(params, 'snapshotId');
      return handlers.restore(
        {
          snapshotId,
          ...(params.id === undefined ? {} : { id: sandboxId(params) }),
          ...(params.volumes === undefined ? {} : { volumes: volume.attachedOf(params.volumes) }),
        },
        progress,
      );
    }
    case 'attachVolumes':
      return handlers.attachVolumes(
        { id: sandboxId(params), volumes: volume.attachedOf(params.volumes) },
        progress,
      );
    case 'createVolume':
      return handlers.createVolume(volume.createVolumeParams(params), progress);
    case 'openVolumeFiles':
      return handlers.openVolumeFiles(
        { volumeId: sandboxId(params, 'volumeId'), readOnly: params.readOnly !== false },
        progress,
      );
    case 'closeVolumeFiles':
    case 'removeVolume':
      return handlers[request.method]({ volumeId: sandboxId(params, 'volumeId') }, progress);
    case 'removeSnapshot':
      return handlers.removeSnapshot({ snapshotId: sandboxId(params, 'snapshotId') }, progress);
    case 'inspectAll':
      return handlers.inspectAll({ ids: sandboxIds(params) }, progress);
    case 'inspect':
    case 'destroy':
      return handlers[request.method]({ id: sandboxId(params) }, progress);
    case 'pullImage':
      return handlers.pullImage(build.pullParams(params), progress);
    case 'hasLayer':
      return handlers.hasLayer({ digest: build.digestOf(params.digest) }, progress);
    case 'startLayer':
      return handlers.startLayer({ ...build.startParams(params), limits: limitsOf(params) }, progress);
    case 'sealLayer':
      return handlers.sealLayer({ id: sandboxId(params), digest: build.digestOf(params.digest) }, progress);
    case 'defineImage':
      return handlers.defineImage(
        { layers: build.layersOf(params.layers), settings: build.digestOf(params.settings) },
        progress,
      );
    case 'collectImages':
      return handlers.collectImages(build.collectParams(params), progress);
    case 'removeOwnerless':
      return handlers.removeOwnerless({ kind: diskKind(params.kind), id: nameOnDisk(params.id) }, progress);
    case 'buildTemplate':
    case 'removeTemplate':
      return handlers[request.method]({ template: templateName(params) }, progress);
    default:
      throw new CasemateError('invalid_request', 'The root process knows no such method.');
  }
}

/** Sandboxes and snapshots have the same kind of id. */
function sandboxId(params: Record<string, unknown>, field = 'id'): string {
  const id = params[field];
  if (typeof id === 'string' && sandboxIdPattern.test(id)) return id;
  throw new CasemateError('invalid_request', `"${field}" has 20 characters of [a-z0-9].`);
}

function sandboxIds({ ids }: Record<string, unknown>): string[] {
  if (Array.isArray(ids) && ids.length <= limits.usageReadsMax)
    return ids.map((id: unknown) => sandboxId({ id }));
  throw new CasemateError('invalid_request', `"ids" are ${limits.usageReadsMax} ids at most.`);
}

function diskKind(kind: unknown): RootDiskKind {
  const known = diskKinds.find((name) => name === kind);
  if (known !== undefined) return known;
  throw new CasemateError('invalid_request', 'Nothing of that kind is taken away so.');
}

function nameOnDisk(id: unknown): string {
  if (typeof id === 'string' && /^([a-z0-9]{20}|[0-9a-f]{64})$/.test(id)) return id;
  throw new CasemateError('invalid_request', '"id" is an id or a digest.');
}

function templateName(params: Record<string, unknown>, field = 'template'): string {
  const name = params[field];
  if (typeof name === 'string' && /^[a-z0-9][a-z0-9_-]{0,62}$/.test(name)) return name;
  throw new CasemateError('invalid_request', `"${field}" is a name of [a-z0-9_-], 63 characters at most.`);
}

/** Bounds that no caller may leave, whatever the server believes: what the kernel is told must be sane. */
function limitsOf(params: Record<string, unknown>): SandboxLimits {
  const given = (params.limits ?? {}) as Record<string, unknown>;
  const number = (field: keyof SandboxLimits, least: number, most: number): number => {
    const value = given[field];
    if (typeof value === 'number' && value >= least && value <= most) return value;
    throw new CasemateError('invalid_request', `limits.${field} has to lie between ${least} and ${most}.`);
  };
  return {
    cpus: number('cpus', 0.05, 256),
    memoryMib: Math.round(number('memoryMib', 16, 4 * 1024 * 1024)),
    diskMib: Math.round(number('diskMib', 16, 16 * 1024 * 1024)),
    pids: Math.round(number('pids', 16, 100_000)),
  };
}
