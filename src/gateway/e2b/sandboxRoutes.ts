/** E2B's control plane: a sandbox from its creation to its end. */
import type { Static } from '@sinclair/typebox';
import { setTimeout as sleep } from 'node:timers/promises';
import * as rest from '../../../schema/e2b/rest.ts';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { SandboxRow, SandboxState } from '../../store/types.ts';
import { unsupported } from './errors.ts';
import { metadataOf } from './metadata.ts';
import type { Call, Route } from './route.ts';
import { accessView, detailView, labels, listedView } from './views.ts';

type NewSandbox = Static<typeof rest.NewSandbox>;

/** E2B's own names of templates that are called otherwise here. */
const templateNames: Readonly<Record<string, string>> = { 'code-interpreter-v1': 'code-interpreter' };
/** What the first protocol version gives a sandbox of which nobody says how long it shall live. */
const firstVersionTimeoutMs = 15_000;
const cpuSampleMs = 200;
const visible: readonly SandboxState[] = ['running', 'paused'];

async function create(call: Call, timeoutMsDefault: number): Promise<unknown> {
  const body = call.body as NewSandbox;
  refuseWhatIsMissing(body);
  const { metadata, envVars, network, timeout } = body;
  const isPrivate = network?.allowPublicTraffic === false;
  const row = await call.core.sandboxes.create(call.principal, {
    template: templateOf(body.templateID),
    timeoutMs: timeout === undefined ? timeoutMsDefault : timeoutMsOf(timeout),
    ...(metadata === undefined ? {} : { metadata }),
    ...(envVars === undefined ? {} : { env: envVars }),
    labels: {
      ...(isPrivate ? { [labels.privatePorts]: 'yes' } : {}),
      ...(network?.maskRequestHost === undefined ? {} : { [labels.maskedHost]: network.maskRequestHost }),
    },
  });
  return access(call, row);
}

function templateOf(id: string): string {
  const name = id.replace(/:default$/, '');
  return templateNames[name] ?? name;
}

/** @throws CasemateError `invalid_request` */
function timeoutMsOf(seconds: number): number {
  if (seconds * 1000 <= limits.sandboxTimeoutMsMax) return seconds * 1000;
  throw new CasemateError(
    'invalid_request',
    `Timeout cannot be greater than ${limits.sandboxTimeoutMsMax / 3_600_000} hours.`,
  );
}

/** What Casemate cannot give is refused where it was asked for; what it denies anyway may be denied again. */
function refuseWhatIsMissing({ network, autoPause, autoResume, iam, mcp, volumeMounts }: NewSandbox): void {
  const missing: [string, boolean][] = [
    ['network.allowOut', (network?.allowOut ?? []).length > 0],
    ['network.rules', Object.keys(network?.rules ?? {}).length > 0],
    ['network.egressProxy', (network?.egressProxy ?? null) !== null],
    ['network.httpsPorts', (network?.httpsPorts ?? []).length > 0],
    ['pausing at the time limit (lifecycle.onTimeout)', autoPause === true],
    ['lifecycle.autoResume', autoResume?.enabled === true],
    ['iam', (iam ?? null) !== null],
    ['mcp', (mcp ?? null) !== null],
    ['volumeMounts', (volumeMounts ?? []).length > 0],
  ];
  const [first] = missing.find(([, asked]) => asked) ?? [];
  if (first !== undefined) throw unsupported(first);
}

/** How to reach a sandbox, with the tokens that open it. */
function access({ core, domain, publicPorts }: Call, row: SandboxRow): object {
  const needsToken = !publicPorts || row.labels[labels.privatePorts] !== undefined;
  return accessView(row, {
    domain,
    envdAccessToken: core.tokens.of('agent', row.id),
    trafficAccessToken: needsToken ? core.tokens.of('ports', row.id) : undefined,
  });
}

/** A sandbox that can be asked something; what has ended does not exist for E2B's clients. */
function sandboxOf({ core, principal, id }: Call): SandboxRow {
  const row = core.sandboxes.get(principal, id);
  if (visible.includes(row.state)) return row;
  throw new CasemateError('not_found', `The sandbox ${id} was not found.`);
}

/** Never shortens the life of a sandbox. */
function extend(call: Call, timeoutMs: number): SandboxRow {
  const row = sandboxOf(call);
  // Here is the place where a paused sandbox will be resumed.
  if (row.state === 'paused') throw unsupported('resuming a paused sandbox');
  if (Date.now() + timeoutMs <= Date.parse(row.endsAt)) return row;
  return call.core.sandboxes.setTimeout(call.principal, call.id, timeoutMs);
}

async function connect(call: Call): Promise<unknown> {
  const { timeout, memory } = (call.body ?? {}) as Static<typeof rest.Connect>;
  if (memory === false) throw unsupported('rebooting a sandbox (onResume)');
  const timeoutMs = timeout === undefined ? limits.sandboxTimeoutMsDefault : timeoutMsOf(timeout);
  return access(call, extend(call, timeoutMs));
}

async function list(call: Call): Promise<unknown> {
  const query = call.query as Static<typeof rest.ListQuery>;
  if (query.order === 'asc') throw unsupported('listing the oldest first (order)');
  const page = call.core.sandboxes.list(
    call.principal,
    { states: statesOf(query.state), metadata: metadataOf(query.metadata) },
    {
      limit: query.limit ?? limits.pageItemsMax,
      ...(query.nextToken === undefined ? {} : { cursor: query.nextToken }),
    },
  );
  if (page.nextCursor !== undefined) call.reply.header('x-next-token', page.nextCursor);
  const { template, startedAfter } = query;
  return page.items
    .filter((row) => template === undefined || row.template === templateOf(template))
    .filter((row) => startedAfter === undefined || Date.parse(row.createdAt) > Date.parse(startedAfter))
    .map(listedView);
}

function statesOf(names: readonly string[] | undefined): SandboxState[] {
  return (names ?? visible)
    .flatMap((name) => name.split(','))
    .map((name) => {
      const found = visible.find((state) => state === name);
      if (found === undefined) throw new CasemateError('invalid_request', `There is no state "${name}".`);
      return found;
    });
}

/** The first version of the list knows no pages. */
async function listAll(call: Call): Promise<unknown> {
  const { metadata } = call.query as Static<typeof rest.ListQuery>;
  const rows: SandboxRow[] = [];
  let cursor: string | undefined;
  do {
    const page = call.core.sandboxes.list(
      call.principal,
      { states: ['running'], metadata: metadataOf(metadata) },
      { limit: limits.pageItemsMax, ...(cursor === undefined ? {} : { cursor }) },
    );
    rows.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return rows.map(listedView);
}

/** One sample, of now: processor use needs two looks. */
async function metrics(call: Call): Promise<unknown> {
  const row = sandboxOf(call);
  const before = await call.core.metrics(call.principal, row.id);
  await sleep(cpuSampleMs);
  const now = await call.core.metrics(call.principal, row.id);
  const elapsedMs = Math.max(1, Date.parse(now.at) - Date.parse(before.at));
  const usedPercent = (now.cpuMicroseconds - before.cpuMicroseconds) / 10 / elapsedMs;
  return [
    {
      timestamp: now.at,
      timestampUnix: Math.floor(Date.parse(now.at) / 1000),
      cpuCount: Math.max(1, Math.ceil(row.limits.cpus)),
      cpuUsedPct: Math.max(0, Math.round(usedPercent * 100) / 100),
      memUsed: now.memoryBytes,
      memTotal: now.memoryLimitBytes,
      memCache: 0,
      diskUsed: now.diskBytes,
      diskTotal: now.diskLimitBytes,
    },
  ];
}

export const sandboxRoutes: readonly Route[] = [
  {
    method: 'POST',
    path: '/v2/sandboxes',
    body: rest.NewSandbox,
    status: 201,
    handle: (call) => create(call, limits.sandboxTimeoutMsDefault),
  },
  {
    method: 'POST',
    path: '/sandboxes',
    body: rest.NewSandbox,
    status: 201,
    handle: (call) => create(call, firstVersionTimeoutMs),
  },
  { method: 'GET', path: '/v2/sandboxes', query: rest.ListQuery, status: 200, handle: list },
  { method: 'GET', path: '/sandboxes', query: rest.ListQuery, status: 200, handle: listAll },
  {
    method: 'GET',
    path: '/sandboxes/:id',
    status: 200,
    handle: async (call) => detailView(sandboxOf(call), call.domain),
  },
  {
    method: 'DELETE',
    path: '/sandboxes/:id',
    status: 204,
    handle: async (call) => call.core.sandboxes.kill(call.principal, sandboxOf(call).id),
  },
  {
    method: 'POST',
    path: '/sandboxes/:id/timeout',
    body: rest.Timeout,
    status: 204,
    handle: async (call) => {
      const { timeout } = call.body as Static<typeof rest.Timeout>;
      call.core.sandboxes.setTimeout(call.principal, sandboxOf(call).id, timeoutMsOf(timeout));
    },
  },
  {
    method: 'POST',
    path: '/sandboxes/:id/refreshes',
    body: rest.Refresh,
    status: 204,
    handle: async (call) => {
      const { duration } = call.body as Static<typeof rest.Refresh>;
      extend(call, timeoutMsOf(duration ?? firstVersionTimeoutMs / 1000));
    },
  },
  { method: 'POST', path: '/v2/sandboxes/:id/connect', body: rest.Connect, status: 200, handle: connect },
  { method: 'POST', path: '/sandboxes/:id/connect', body: rest.Connect, status: 200, handle: connect },
  { method: 'POST', path: '/sandboxes/:id/resume', body: rest.Connect, status: 201, handle: connect },
  { method: 'GET', path: '/sandboxes/:id/metrics', status: 200, handle: metrics },
];
