/** Where a Casemate server keeps its things and what it is told at start; one object, checked once. */
import { accessSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CasemateError } from './errors.ts';
import { newId } from './ids.ts';

export const defaultDataDir = '/var/lib/casemate';
export const defaultPort = 7070;

export interface PoolSetting {
  readonly template: string;
  readonly runtime: string;
  readonly size: number;
}

export interface ServeConfig {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly dataDir: string;
  readonly pools: readonly PoolSetting[];
  readonly gvisorPlatform?: 'systrap' | 'ptrace';
}

/** The folders below a data directory, and who owns them. */
export interface Paths {
  /** Root's: templates, content-addressed; may be shared between data directories. */
  readonly store: string;
  /** Root's: one folder per sandbox. */
  readonly sandboxes: string;
  readonly journal: string;
  /** Root's: templates mounted read-only. */
  readonly roots: string;
  /** The server's: database and first key. */
  readonly server: string;
  readonly database: string;
  readonly keyFile: string;
  /** The egress process's: its control socket and the sandboxes' certificate authorities. */
  readonly egress: string;
  /** Root's: newer runtimes than the machine's own, one folder a runtime. */
  readonly library: string;
  /** The folder that holds the guest agent alone. */
  readonly agentDir: string;
}

const repository = join(dirname(fileURLToPath(import.meta.url)), '../..');

export function pathsOf(dataDir: string): Paths {
  return {
    store: process.env.CASEMATE_STORE_DIR ?? join(dataDir, 'store'),
    sandboxes: join(dataDir, 'sandboxes'),
    journal: join(dataDir, 'journal'),
    roots: join(dataDir, 'roots'),
    server: join(dataDir, 'server'),
    database: join(dataDir, 'server', 'casemate.db'),
    keyFile: join(dataDir, 'server', 'admin.key'),
    egress: join(dataDir, 'egress'),
    library: process.env.CASEMATE_LIB_DIR ?? join(defaultDataDir, 'lib'),
    agentDir: join(repository, 'build', 'agent'),
  };
}

/** Six characters that tell this data directory's namespaces and control groups from another's; kept in it. */
export function instanceTag(dataDir: string): string {
  const file = join(dataDir, 'instance');
  if (!existsSync(file)) {
    mkdirSync(dataDir, { recursive: true, mode: 0o711 });
    writeFileSync(file, newId(6), { mode: 0o644 });
  }
  const tag = readFileSync(file, 'utf8').trim();
  if (!/^[a-z0-9]{6}$/.test(tag))
    throw new CasemateError('invalid_request', `${file} does not hold an instance tag.`);
  return tag;
}

/** `python=10`, `python@gvisor=10`. @throws CasemateError `invalid_request` */
export function parsePool(text: string): PoolSetting {
  const match = /^([a-z0-9][a-z0-9-]*)(?:@([a-z0-9][a-z0-9-]*))?=(\d{1,4})$/.exec(text);
  if (match?.[1] === undefined) {
    throw new CasemateError('invalid_request', `A pool is written template[@runtime]=n, not "${text}".`);
  }
  return { template: match[1], runtime: match[2] ?? 'gvisor', size: Number(match[3]) };
}

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/** Reads a user from /etc/passwd. @throws CasemateError `policy_unenforceable` when it is missing. */
export function systemUser(name: string): SystemUser {
  accessSync('/etc/passwd');
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined) {
    throw new CasemateError('policy_unenforceable', `There is no user "${name}" for the unprivileged half.`, {
      hint: 'Run `make setup`, which creates it.',
    });
  }
  return { uid: Number(uid), gid: Number(gid) };
}
