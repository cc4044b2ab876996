/** Routes of sandboxes and of what runs in them. */
import type { Static } from '@sinclair/typebox';
import { Readable } from 'node:stream';
import * as api from '../../../schema/api.ts';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { SandboxState } from '../../store/types.ts';
import { collectExec, execBody, execStreamType } from './execStream.ts';
import type { Call, Route } from './route.ts';
import { execView, sandboxView } from './views.ts';

const sandboxParams = { sandboxId: api.SandboxId };
const execParams = { ...sandboxParams, execId: api.ExecId };
const sandboxPath = '/v1/sandboxes/{sandboxId}';
const execPath = `${sandboxPath}/execs/{execId}`;

export function idOf(call: Call, name = 'sandboxId'): string {
  return call.params[name] ?? '';
}

async function createSandbox(call: Call): Promise<unknown> {
  const key = call.request.headers['idempotency-key'];
  if (key !== undefined && (typeof key !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(key))) {
    throw new CasemateError('invalid_request', 'Idempotency-Key has 1 to 255 visible characters.');
  }
  const body = (call.body ?? {}) as Static<typeof api.CreateSandbox>;
  return sandboxView(await call.core.sandboxes.create(call.principal, body, key));
}

const states: readonly SandboxState[] = [
  'starting',
  'running',
  'pausing',
  'paused',
  'resuming',
  'ending',
  'ended',
];

function listSandboxes({ core, principal, query }: Call): Promise<unknown> {
  const { state, metadata, label, limit, cursor } = query as Static<typeof api.ListSandboxes>;
  const wanted = state?.split(',').map((name) => {
    const found = states.find((candidate) => candidate === name);
    if (found === undefined) throw new CasemateError('invalid_request', `There is no state "${name}".`);
    return found;
  });
  const page = core.sandboxes.list(
    principal,
    {
      ...(wanted === undefined ? {} : { states: wanted }),
      ...(metadata === undefined ? {} : { metadata: pairs(metadata) }),
      ...(label === undefined ? {} : { labels: pairs(label) }),
    },
    { limit: limit ?? limits.pageItemsMax, ...(cursor === undefined ? {} : { cursor }) },
  );
  return Promise.resolve({ ...page, items: page.items.map(sandboxView) });
}

/** `name=value`, cut at the first `=`. */
function pairs(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf('=');
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

async function startExec(call: Call): Promise<unknown> {
  const { detach, ...params } = call.body as Static<typeof api.StartExec>;
  const { execId, stream } = await call.core.startExec(call.principal, idOf(call), params);
  if (detach === true) {
    stream.detach();
    call.reply.code(201);
    return { execId, pid: stream.pid };
  }
  if (call.request.headers.accept?.includes(execStreamType) === true) {
    call.reply.type(execStreamType).header('x-casemate-exec-id', execId);
    return execBody(execId, stream, 'started');
  }
  return { execId, ...(await collectExec(stream)) };
}

async function attachExec(call: Call): Promise<unknown> {
  const { follow } = call.query as Static<typeof api.OutputQuery>;
  const execId = idOf(call, 'execId');
  const stream = await call.core.attachExec(call.principal, idOf(call), execId, { follow: follow ?? true });
  call.reply.type(execStreamType);
  return execBody(execId, stream, 'attached');
}

async function writeStdin({ core, principal, body, query, signal, ...call }: Call): Promise<unknown> {
  const execId = call.params.execId ?? '';
  const { end } = query as Static<typeof api.StdinQuery>;
  const source = body instanceof Readable ? body : Readable.from([]);
  const bytes = await core.withGuest(
    principal,
    call.params.sandboxId ?? '',
    { action: 'exec.stdin', detail: { execId } },
    (guest) => guest.execStdin(execId, source, { end: end ?? false, signal }),
  );
  return { bytes };
}

export const sandboxRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v1/sandboxes',
    summary: 'Create a sandbox, warm where a pool has one',
    headers: { 'Idempotency-Key': { description: 'The same key and body give the same sandbox, for a day' } },
    body: api.CreateSandbox,
    status: 201,
    answer: api.Sandbox,
    handle: createSandbox,
  },
  {
    method: 'GET',
    path: '/v1/sandboxes',
    summary: 'List sandboxes, newest first; ended ones only when asked for',
    query: api.ListSandboxes,
    status: 200,
    answer: api.SandboxPage,
    handle: listSandboxes,
  },
  {
    method: 'GET',
    path: sandboxPath,
    summary: 'Tell the state of a sandbox',
    params: sandboxParams,
    status: 200,
    answer: api.Sandbox,
    handle: async (call) => sandboxView(call.core.sandboxes.get(call.principal, idOf(call))),
  },
  {
    method: 'DELETE',
    path: sandboxPath,
    summary: 'Kill a sandbox; nothing of it is left when this answers',
    params: sandboxParams,
    status: 204,
    handle: (call) => call.core.sandboxes.kill(call.principal, idOf(call)),
  },
  {
    method: 'POST',
    path: `${sandboxPath}/timeout`,
    summary: 'Set the time limit, counted from now',
    params: sandboxParams,
    body: api.SetTimeout,
    status: 200,
    answer: api.Sandbox,
    handle: async (call) => {
      const { timeoutMs } = call.body as Static<typeof api.SetTimeout>;
      return sandboxView(call.core.sandboxes.setTimeout(call.principal, idOf(call), timeoutMs));
    },
  },
  {
    method: 'GET',
    path: `${sandboxPath}/policy`,
    summary: 'Tell what a sandbox may reach',
    params: sandboxParams,
    status: 200,
    answer: api.EgressPolicy,
    handle: async (call) => call.core.sandboxes.get(call.principal, idOf(call)).egress?.policy ?? {},
  },
  {
    method: 'PUT',
    path: `${sandboxPath}/policy`,
    summary: 'Set what a running sandbox may reach; connections that do not comply are cut',
    params: sandboxParams,
    body: api.EgressPolicy,
    status: 200,
    answer: api.EgressPolicy,
    handle: async (call) => {
      const policy = call.body as Static<typeof api.EgressPolicy>;
      const row = await call.core.sandboxes.setPolicy(call.principal, idOf(call), policy);
      return row.egress?.policy ?? {};
    },
  },
  {
    method: 'POST',
    path: `${sandboxPath}/ping`,
    summary: 'Ask the guest agent for a sign of life',
    params: sandboxParams,
    status: 200,
    answer: api.Ping,
    handle: async (call) => ({
      agentRoundTripMs: await call.core.withGuest(call.principal, idOf(call), undefined, (guest) =>
        guest.ping(),
      ),
    }),
  },
  {
    method: 'GET',
    path: `${sandboxPath}/metrics`,
    summary: 'Measure what a sandbox uses',
    params: sandboxParams,
    status: 200,
    answer: api.Metrics,
    handle: (call) => call.core.metrics(call.principal, idOf(call)),
  },
  {
    method: 'POST',
    path: `${sandboxPath}/exec`,
    summary: `Run a program; with Accept: ${execStreamType} its output streams`,
    params: sandboxParams,
    body: api.StartExec,
    status: 200,
    answer: api.ExecResult,
    handle: startExec,
  },
  {
    method: 'GET',
    path: `${sandboxPath}/execs`,
    summary: 'List programs that run, or ended a short while ago',
    params: sandboxParams,
    status: 200,
    answer: api.ExecList,
    handle: async (call) => ({
      items: (await call.core.listExecs(call.principal, idOf(call))).map(execView),
    }),
  },
  {
    method: 'GET',
    path: execPath,
    summary: 'Tell the state of a program',
    params: execParams,
    status: 200,
    answer: api.Exec,
    handle: async (call) =>
      execView(await call.core.getExec(call.principal, idOf(call), idOf(call, 'execId'))),
  },
  {
    method: 'GET',
    path: `${execPath}/output`,
    summary: 'Attach to the output of a program: what was kept, then what follows',
    params: execParams,
    query: api.OutputQuery,
    status: 200,
    answer: execStreamType,
    handle: attachExec,
  },
  {
    method: 'POST',
    path: `${execPath}/stdin`,
    summary: 'Write to the stdin of a program',
    params: execParams,
    query: api.StdinQuery,
    body: 'bytes',
    status: 200,
    answer: api.StdinWritten,
    handle: writeStdin,
  },
  {
    method: 'POST',
    path: `${execPath}/signal`,
    summary: 'Signal the process group of a program',
    params: execParams,
    body: api.Signal,
    status: 204,
    handle: (call) => {
      const { signal } = call.body as Static<typeof api.Signal>;
      const execId = idOf(call, 'execId');
      const record = { action: 'exec.signal', detail: { execId, signal } } as const;
      return call.core.withGuest(call.principal, idOf(call), record, (guest) =>
        guest.execSignal(execId, signal),
      );
    },
  },
  {
    method: 'POST',
    path: `${execPath}/resize`,
    summary: 'Resize the terminal of a program',
    params: execParams,
    body: api.Resize,
    status: 204,
    handle: (call) => {
      const size = call.body as Static<typeof api.Resize>;
      return call.core.withGuest(call.principal, idOf(call), undefined, (guest) =>
        guest.execResize(idOf(call, 'execId'), size),
      );
    },
  },
];
