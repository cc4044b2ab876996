/** What a sandbox was denied, as the smallest policy that allows it. Looks at the audit log; changes nothing. */
import { type Denied, type Learned, learn } from '../policy/learn.ts';
import type { Store } from '../store/types.ts';

const pageItems = 500;
const eventsMax = 10_000;

export interface LearnedFrom extends Learned {
  /** Denials were so many that some are not in the log. */
  readonly incomplete: boolean;
}

export function learnedFrom(store: Store, tenantId: string, sandboxId: string): LearnedFrom {
  const denials: Denied[] = [];
  let incomplete = false;
  let cursor: string | undefined;
  do {
    const page = store.audit.list(
      { tenantId, sandboxId, action: 'network.denied' },
      { limit: pageItems, ...(cursor === undefined ? {} : { cursor }) },
    );
    for (const { detail } of page.items) {
      incomplete ||= detail.moreFollow === true;
      denials.push(deniedOf(detail));
    }
    cursor = page.nextCursor;
  } while (cursor !== undefined && denials.length < eventsMax);
  return { ...learn(denials.reverse()), incomplete: incomplete || cursor !== undefined };
}

function deniedOf(detail: Readonly<Record<string, unknown>>): Denied {
  const text = (name: string): string | undefined =>
    typeof detail[name] === 'string' ? detail[name] : undefined;
  return {
    code: text('code') ?? '',
    host: text('host') ?? '',
    port: typeof detail.port === 'number' ? detail.port : undefined,
    protocol: text('protocol') ?? '',
    method: text('method'),
    path: text('path'),
  };
}
