/** What a create request asks for, and the row that a sandbox begins with. */
import type { EgressPolicy } from '../../schema/policy.ts';
import type { VolumeMount } from '../../schema/volumes.ts';
import { CasemateError } from '../base/errors.ts';
import { limits as bounds } from '../base/limits.ts';
import type { SandboxLimits } from '../runtime/driver.ts';
import type { SandboxRow, SnapshotRow } from '../store/types.ts';
import type { Principal } from './access.ts';
import type { ResolvedTemplate } from './templates/catalog.ts';

export interface CreateRequest {
  readonly template?: string;
  readonly runtime?: string;
  /** Starts from this snapshot (id or name) instead of a template; runtime and template are the snapshot's. */
  readonly snapshot?: string;
  readonly timeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly onTimeout?: 'kill' | 'pause';
  /** Whether the pause at its time limit keeps programs (the default) or only files. */
  readonly pauseKeepsMemory?: boolean;
  readonly autoResume?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly limits?: Partial<SandboxLimits>;
  /** What it may reach; nothing by default. */
  readonly policy?: EgressPolicy;
  /** The policy is the server's operator's, whoever asks: a gateway made it, never a caller wrote it. */
  readonly policyIsOperators?: boolean;
  /** Names of secrets whose placeholders its programs find in their environment. */
  readonly secrets?: readonly string[];
  /** Shows what it would reach: names get addresses that lead nowhere. It opens nothing. */
  readonly learn?: boolean;
  readonly user?: string;
  readonly hostname?: string;
  readonly volumes?: readonly VolumeMount[];
}

/**
 * @param defaultLimits those of a template's sandboxes that ask for none.
 * @throws CasemateError `invalid_request` where a snapshot and something else than its own is asked for.
 */
export function draftRow(
  principal: Principal,
  request: CreateRequest,
  nowMs: number,
  defaultLimits: (template: string) => SandboxLimits,
  from: { readonly snapshot: SnapshotRow | undefined; readonly template: ResolvedTemplate | undefined },
): SandboxRow {
  const { snapshot } = from;
  const versionId = from.template?.version?.id ?? snapshot?.templateVersionId;
  const timeoutMs = request.timeoutMs ?? bounds.sandboxTimeoutMsDefault;
  const template = request.template ?? snapshot?.template ?? 'base';
  const runtime = request.runtime ?? snapshot?.runtime ?? 'gvisor';
  if (snapshot !== undefined && (template !== snapshot.template || runtime !== snapshot.runtime)) {
    throw new CasemateError(
      'invalid_request',
      `That snapshot is of template ${snapshot.template} on ${snapshot.runtime}: leave both out.`,
    );
  }
  return {
    id: '',
    tenantId: principal.tenantId,
    template,
    ...(versionId === undefined ? {} : { templateVersionId: versionId }),
    runtime,
    isolation: '',
    state: 'starting',
    createdAt: new Date(nowMs).toISOString(),
    endsAt: new Date(nowMs + timeoutMs).toISOString(),
    timeoutMs,
    ...(request.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: request.idleTimeoutMs }),
    onTimeout: request.onTimeout ?? 'kill',
    ...(request.pauseKeepsMemory === undefined ? {} : { pauseKeepsMemory: request.pauseKeepsMemory }),
    autoResume: request.autoResume ?? false,
    metadata: request.metadata ?? {},
    labels: request.labels ?? {},
    limits: {
      ...defaultLimits(template),
      ...from.template?.version?.config?.limits,
      ...snapshot?.limits,
      ...request.limits,
    },
    ...(snapshot === undefined ? {} : { snapshotId: snapshot.id }),
    ...(request.policy === undefined
      ? {}
      : {
          egress: {
            policy: request.policy,
            administrator: request.policyIsOperators === true || principal.scope === 'admin',
          },
        }),
    ...(request.secrets === undefined || request.secrets.length === 0 ? {} : { secrets: request.secrets }),
    ...(request.learn === true ? { learns: true } : {}),
    user: request.user ?? snapshot?.user ?? from.template?.user ?? 'user',
    hostname: request.hostname ?? 'sandbox',
  };
}

/** What a fork of `source` begins with: the same, with a time limit of its own from now. */
export function draftCopy(source: SandboxRow, nowMs: number): SandboxRow {
  const { startedAt: _startedAt, source: _source, pausedAt: _pausedAt, pauseId: _pauseId, ...same } = source;
  const { publicPorts: _publicPorts, ...closed } = same; // nobody asked for those of the fork
  return {
    ...closed,
    id: '',
    isolation: '',
    state: 'starting',
    createdAt: new Date(nowMs).toISOString(),
    endsAt: new Date(nowMs + source.timeoutMs).toISOString(),
  };
}

/** The same request in another order of fields is the same request. */
export function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, inner]) => [name, sorted(inner)]));
}
