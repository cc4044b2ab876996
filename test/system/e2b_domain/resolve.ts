/** Resolves every name below `sandboxes.test` to this machine, in place of the wildcard record that a team would have. */
import dns, { type LookupAddress, type LookupOptions } from 'node:dns';

type Answer = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

const original = dns.lookup as (host: string, options: LookupOptions, answer: Answer) => void;
dns.lookup = ((host: string, options: LookupOptions, answer: Answer): void => {
  if (!host.endsWith('sandboxes.test')) original(host, options, answer);
  else if (options.all === true) answer(null, [{ address: '127.0.0.1', family: 4 }]);
  else answer(null, '127.0.0.1', 4);
}) as typeof dns.lookup;
