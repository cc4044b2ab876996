/** E2B's control plane: snapshots, which it calls templates, and forks; and what happened to a sandbox as its log. */
import type { Static } from '@sinclair/typebox';
import * as rest from '../../../schema/e2b/rest.ts';
import { limits } from '../../base/limits.ts';
import type { AuditRow, SnapshotRow } from '../../store/types.ts';
import { access, runningOf, sandboxOf, templateOf, timeoutMsOf } from './common.ts';
import { bodyOf } from './errors.ts';
import type { Call, Route } from './route.ts';

/** Who has a name goes on with it when the snapshot behind it is replaced, as with E2B. */
function snapshotView({ id, name }: Pick<SnapshotRow, 'id' | 'name'>): object {
  return { snapshotID: name ?? id, names: name === undefined ? [] : [name] };
}

async function take(call: Call): Promise<unknown> {
  const { name } = call.body as Static<typeof rest.NewSnapshot>;
  const named = name === undefined ? {} : { name: templateOf(name), replace: true };
  return snapshotView(await call.core.snapshots.take(call.principal, runningOf(call).id, named));
}

async function list({ core, principal, query, reply }: Call): Promise<unknown> {
  const { sandboxID, name, limit, nextToken } = query as Static<typeof rest.SnapshotQuery>;
  const page = core.snapshots.list(
    principal,
    { limit: limit ?? limits.pageItemsMax, ...(nextToken === undefined ? {} : { cursor: nextToken }) },
    {
      ...(sandboxID === undefined ? {} : { sandboxId: sandboxID }),
      ...(name === undefined ? {} : { idOrName: templateOf(name) }),
    },
  );
  if (page.nextCursor !== undefined) reply.header('x-next-token', page.nextCursor);
  return page.items.map(snapshotView);
}

/** Children that started and those that failed, each for itself. */
async function fork(call: Call): Promise<unknown> {
  const { count = 1, timeout } = (call.body ?? {}) as Static<typeof rest.Fork>;
  const timeoutMs = timeout === undefined ? undefined : timeoutMsOf(timeout);
  const { core, principal } = call;
  const children = await core.snapshots.fork(principal, runningOf(call).id, count);
  return children.map((child) => {
    if ('error' in child) return { error: bodyOf(child.error) };
    const { sandbox } = child;
    if (timeoutMs !== undefined) core.sandboxes.setTimeout(principal, sandbox.id, timeoutMs);
    return { sandbox: access(call, sandbox) };
  });
}

function levelOf({ action }: AuditRow): string {
  return action.endsWith('.denied') || action === 'limit.hit' ? 'warn' : 'info';
}

function logView(row: AuditRow): object {
  const { at, action, actor, detail } = row;
  return {
    timestamp: at,
    level: levelOf(row),
    message: action,
    fields: { actor, detail: JSON.stringify(detail) },
  };
}

/** The older form: E2B's command line reads each line as JSON, and takes its level from it. */
function lineView(row: AuditRow): object {
  const { at, action, actor, detail } = row;
  const line = { level: levelOf(row), logger: 'casemate', message: action, actor, detail };
  return { timestamp: at, line: JSON.stringify(line) };
}

/** What was done to it and by whom: what programs print is their client's alone. */
function entries(call: Call, newestFirst: boolean): AuditRow[] {
  const { start, cursor, limit, level, search } = call.query as Static<typeof rest.LogQuery>;
  const { items } = call.core.audit(
    call.principal,
    { sandboxId: sandboxOf(call).id },
    { limit: limit ?? limits.pageItemsMax },
  );
  const from = start ?? cursor ?? 0;
  const found = items
    .filter(({ at }) => newestFirst || Date.parse(at) >= from)
    .filter((row) => level === undefined || levelOf(row) === level)
    .filter(
      ({ action, detail }) => search === undefined || `${action} ${JSON.stringify(detail)}`.includes(search),
    );
  return newestFirst ? found : found.reverse();
}

async function logs(call: Call): Promise<unknown> {
  const found = entries(call, false);
  return {
    logs: found.map(lineView),
    logEntries: found.map(logView),
  };
}

async function logsVersion2(call: Call): Promise<unknown> {
  const { direction } = call.query as Static<typeof rest.LogQuery>;
  return { logs: entries(call, direction === 'backward').map(logView) };
}

export const snapshotRoutes: readonly Route[] = [
  { method: 'POST', path: '/sandboxes/:id/snapshots', body: rest.NewSnapshot, status: 201, handle: take },
  { method: 'GET', path: '/snapshots', query: rest.SnapshotQuery, status: 200, handle: list },
  { method: 'POST', path: '/sandboxes/:id/fork', body: rest.Fork, status: 201, handle: fork },
  { method: 'GET', path: '/sandboxes/:id/logs', query: rest.LogQuery, status: 200, handle: logs },
  { method: 'GET', path: '/v2/sandboxes/:id/logs', query: rest.LogQuery, status: 200, handle: logsVersion2 },
];
