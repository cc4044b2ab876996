/** How the egress process is started; loads nothing of what it will run. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SystemUser } from '../base/config.ts';

export interface EgressConfig {
  /** The gate's namespace, a name under /run/netns. */
  readonly gate: string;
  /** A folder of its own: the control socket (`socket`) and the sandboxes' authorities. */
  readonly stateDir: string;
  readonly user: SystemUser;
}

/** Lookups wait in threads; a name server that hangs must not hold up everybody. */
const lookupThreads = 32;
export function egressSocketPath(stateDir: string): string {
  return join(stateDir, 'socket');
}

/** For the supervisor. File descriptor 3 is a socket whose end is the process's end. */
export function egressArgv(config: EgressConfig): string[] {
  return [
    'env',
    `UV_THREADPOOL_SIZE=${lookupThreads}`,
    'setpriv',
    '--no-new-privs',
    process.execPath,
    '--use-system-ca', // a company's own authority counts for servers that the proxy talks TLS to
    '--disable-warning=ExperimentalWarning',
    fileURLToPath(new URL('./process.ts', import.meta.url)),
    JSON.stringify(config),
  ];
}
