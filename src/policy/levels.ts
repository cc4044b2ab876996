/** Which policies hold for a sandbox: one place that knows the levels and their order. */

/** Above a sandbox's own policy, from the widest to the narrowest. */
export const levelNames = ['tenant', 'workspace', 'function', 'template'] as const;
export type LevelName = (typeof levelNames)[number];

/** What of a sandbox decides whose policies hold for it. */
export interface LevelKeys {
  readonly tenantId: string;
  readonly workspaceId?: string;
  readonly functionId?: string;
  readonly template: string;
}

/** A policy as somebody wrote it. */
export interface WrittenPolicy<Policy> {
  readonly policy: Policy;
  readonly administrator: boolean;
}

/**
 * Every policy that a sandbox has to fit; each one that is not there narrows nothing. A sandbox without a policy of its
 * own reaches nothing, whatever stands above it.
 */
export function levelsFor<Policy>(
  keys: LevelKeys,
  own: WrittenPolicy<Policy> | undefined,
  find: (level: LevelName, subject: string) => WrittenPolicy<Policy> | undefined,
): (Omit<WrittenPolicy<Policy>, 'policy'> & { readonly name: string; readonly policy: Policy | object })[] {
  if (own === undefined) return [{ name: 'sandbox', policy: {}, administrator: false }];
  const subjects: Record<LevelName, string | undefined> = {
    tenant: keys.tenantId,
    workspace: keys.workspaceId,
    function: keys.functionId,
    template: keys.template,
  };
  const above = levelNames.flatMap((name) => {
    const subject = subjects[name];
    const found = subject === undefined ? undefined : find(name, subject);
    return found === undefined ? [] : [{ name, policy: found.policy, administrator: found.administrator }];
  });
  return [...above, { name: 'sandbox', policy: own.policy, administrator: own.administrator }];
}
