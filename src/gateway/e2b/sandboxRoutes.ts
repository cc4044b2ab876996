/** E2B's control plane: a sandbox from its creation to its end. */
import type { Static } from '@sinclair/typebox';
import * as rest from '../../../schema/e2b/rest.ts';
import type { EgressPolicy } from '../../../schema/policy.ts';
import { CasemateError } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { UsageWindow } from '../../control/usage.ts';
import type { SandboxRow, SandboxState } from '../../store/types.ts';
import { timeOf } from '../time.ts';
import { unsupported } from './errors.ts';
import {
  access,
  firstVersionTimeoutMs,
  runningOf,
  sandboxOf,
  sourceOf,
  templateOf,
  timeoutMsOf,
} from './common.ts';
import { metadataOf } from './metadata.ts';
import { policyOf, type WrittenNetwork } from './network.ts';
import type { Call, Route } from './route.ts';
import { detailView, labels, listedView, metricView } from './views.ts';

type NewSandbox = Static<typeof rest.NewSandbox>;

async function create(call: Call, timeoutMsDefault: number): Promise<unknown> {
  const body = call.body as NewSandbox;
  refuseWhatIsMissing(body);
  const { metadata, envVars, network, timeout, autoPause, autoPauseMemory, autoResume, volumeMounts } = body;
  if (autoResume?.enabled === true && (autoPause !== true || autoPauseMemory === false)) {
    throw new CasemateError('invalid_request', 'autoResume needs autoPause with its memory kept.');
  }
  const isPrivate = network?.allowPublicTraffic === false;
  const row = await call.core.sandboxes.create(call.principal, {
    ...sourceOf(call, body.templateID),
    timeoutMs: timeout === undefined ? timeoutMsDefault : timeoutMsOf(timeout),
    ...(metadata === undefined ? {} : { metadata }),
    ...(envVars === undefined ? {} : { env: envVars }),
    ...(volumeMounts === undefined
      ? {}
      : { volumes: volumeMounts.map(({ name: volume, path }) => ({ volume, path })) }),
    onTimeout: autoPause === true ? 'pause' : 'kill',
    ...(autoPauseMemory === undefined ? {} : { pauseKeepsMemory: autoPauseMemory }),
    autoResume: autoResume?.enabled ?? false,
    policy: await policy(call, {
      ...egressOf(network),
      allow_internet_access: body.allow_internet_access ?? true,
    }),
    policyIsOperators: call.internet === 'open',
    labels: {
      [labels.privatePorts]: isPrivate ? 'yes' : 'no',
      ...(network?.maskRequestHost === undefined ? {} : { [labels.maskedHost]: network.maskRequestHost }),
    },
  });
  return access(call, row);
}

function egressOf(network: NewSandbox['network']): WrittenNetwork {
  const { allowOut = [], denyOut = [], rules = {} } = network ?? {};
  return { allowOut, denyOut, rules };
}

async function policy(call: Call, written: WrittenNetwork): Promise<EgressPolicy> {
  return policyOf(written, call.internet, await call.core.presets());
}

/** Replaces all rules of before; what no longer complies is cut. */
async function updateNetwork(call: Call): Promise<void> {
  const body = call.body as Static<typeof rest.NetworkUpdate>;
  if ((body.egressProxy ?? null) !== null) throw unsupported('network.egressProxy');
  const { id } = runningOf(call);
  const isOperators = call.internet === 'open';
  await call.core.sandboxes.setPolicy(call.principal, id, await policy(call, body), { isOperators });
}

/** What Casemate cannot give is refused where it was asked for; what it denies anyway may be denied again. */
function refuseWhatIsMissing({ network, iam, mcp }: NewSandbox): void {
  const missing: [string, boolean][] = [
    ['network.egressProxy', (network?.egressProxy ?? null) !== null],
    ['network.httpsPorts', (network?.httpsPorts ?? []).length > 0],
    ['iam', (iam ?? null) !== null],
    ['mcp', (mcp ?? null) !== null],
  ];
  const [first] = missing.find(([, asked]) => asked) ?? [];
  if (first !== undefined) throw unsupported(first);
}

async function list(call: Call): Promise<unknown> {
  const query = call.query as Static<typeof rest.ListQuery>;
  const { template, startedAfter, nextToken } = query;
  const page = call.core.sandboxes.list(
    call.principal,
    {
      states: statesOf(query.state),
      metadata: metadataOf(query.metadata),
      ...(template === undefined ? {} : { template: templateOf(template) }),
      ...(startedAfter === undefined
        ? {}
        : { createdAfter: new Date(timeOf(startedAfter, 'startedAfter')).toISOString() }),
    },
    {
      limit: query.limit ?? limits.pageItemsMax,
      ...(nextToken === undefined ? {} : { cursor: nextToken }),
      ...(query.order === 'asc' ? { order: 'oldest first' } : {}),
    },
  );
  if (page.nextCursor !== undefined) call.reply.header('x-next-token', page.nextCursor);
  return page.items.map(listedView);
}

/** E2B knows two states; what changes from one to the other counts as where it comes from. */
const statesByName: Readonly<Record<string, readonly SandboxState[]>> = {
  running: ['running', 'pausing'],
  paused: ['paused', 'resuming'],
};

function statesOf(names: readonly string[] | undefined): SandboxState[] {
  return (names ?? Object.keys(statesByName))
    .flatMap((name) => name.split(','))
    .flatMap((name) => {
      const found = statesByName[name];
      if (found === undefined) throw new CasemateError('invalid_request', `There is no state "${name}".`);
      return found;
    });
}

/** The first version of the list knows no pages. */
async function listAll(call: Call): Promise<unknown> {
  const { metadata } = call.query as Static<typeof rest.ListQuery>;
  const filter = { states: statesOf(['running']), metadata: metadataOf(metadata) };
  const rows: SandboxRow[] = [];
  let cursor: string | undefined;
  do {
    const page = call.core.sandboxes.list(call.principal, filter, {
      limit: limits.pageItemsMax,
      ...(cursor === undefined ? {} : { cursor }),
    });
    rows.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return rows.map(listedView);
}

/** From here on a number is no time in seconds of this millennium: Python's SDK of a year ago wrote milliseconds. */
const millisecondsFrom = 100_000_000_000;

/** Whole seconds belong to the window from their beginning to their end. */
function windowOf({ start, end }: Static<typeof rest.MetricsQuery>): UsageWindow {
  const inMs = (value: number): boolean => value >= millisecondsFrom;
  return {
    ...(start === undefined ? {} : { fromMs: inMs(start) ? start : start * 1000 }),
    ...(end === undefined ? {} : { toMs: inMs(end) ? end : end * 1000 + 999 }),
  };
}

async function metrics(call: Call): Promise<unknown> {
  const { id, limits: given } = sandboxOf(call);
  const window = windowOf(call.query as Static<typeof rest.MetricsQuery>);
  const samples = await call.core.usage.of(call.principal, id, window);
  return samples.map((sample) => metricView(sample, given));
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
      call.core.sandboxes.setTimeout(call.principal, runningOf(call).id, timeoutMsOf(timeout));
    },
  },
  {
    method: 'PUT',
    path: '/sandboxes/:id/network',
    body: rest.NetworkUpdate,
    status: 204,
    handle: updateNetwork,
  },
  { method: 'GET', path: '/sandboxes/:id/metrics', query: rest.MetricsQuery, status: 200, handle: metrics },
];
