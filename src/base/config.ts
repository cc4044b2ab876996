/** Where a Casemate server keeps its things and what it is told at start; one object, checked once. */
import { accessSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
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

/** A registry that builds may pull images from. */
export interface RegistrySetting {
  /** As it stands in front of an image's name; `hub` for names without one. */
  readonly name: string;
  /** Where it really is, `host[:port][/path]`; by its own name where left out. */
  readonly location?: string;
  /** Spoken to without TLS: only where the address says `http://`. */
  readonly insecure: boolean;
}

export interface ServeConfig {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly dataDir: string;
  readonly pools: readonly PoolSetting[];
  /** Where builds may pull images from; from nowhere by default. */
  readonly registries?: readonly RegistrySetting[];
  readonly gvisorPlatform?: 'systrap' | 'ptrace';
  /** Who may visit the ports of E2B's sandboxes without a token; `public` on loopback, else `private`, by default. */
  readonly e2bPreviews?: 'public' | 'private';
  /** What E2B's sandboxes get that ask for the internet, as all do unless told otherwise; `packages` by default. */
  readonly e2bInternet?: 'packages' | 'open' | 'closed';
  /** Its hosts are served with TLS: by `tls` where given, else by an authority that the server makes itself. */
  readonly domain?: string;
  /** Prints the key that secrets are sealed with; run without rights. */
  readonly secretKeyCommand?: readonly string[];
  /** Holds that key; in the data directory by default. */
  readonly secretKeyFile?: string;
  /** Files with a certificate and its key: TLS on the same port. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
}

/** The folders below a data directory, and who owns them. */
export interface Paths {
  /** Root's: templates, content-addressed; may be shared between data directories. */
  readonly store: string;
  /** Root's: one folder per sandbox. */
  readonly sandboxes: string;
  /** Root's: one file per sandbox, there before anything of it is. */
  readonly journal: string;
  /** Root's: snapshots, paused sandboxes included, and the key of their MACs. */
  readonly snapshots: string;
  /** Root's: volumes, one folder each; they outlive sandboxes and restarts. */
  readonly volumes: string;
  /** The egress proxy's: its control socket and the sandboxes' certificate authorities. */
  readonly egress: string;
  /** Root's: layers of tenants' templates. */
  readonly layers: string;
  /** Root's: caches of builds. */
  readonly caches: string;
  /** The server's, in a folder of root's: what builds take in. */
  readonly contexts: string;
  /** Root's: templates mounted read-only. */
  readonly roots: string;
  /** Root's: images and booted templates of virtual machines; can be made again. */
  readonly machines: string;
  /** The server's: database and first key. */
  readonly server: string;
  /** The server's: SQLite, with its write-ahead log beside it. */
  readonly database: string;
  /** The server's: the first key, an admin's; made where the database has no key. */
  readonly keyFile: string;
  /** The server's: what tokens for single sandboxes are derived from. */
  readonly tokenSecret: string;
  /** The server's: the certificate of its own domain's authority, for clients to trust. */
  readonly caFile: string;
  /** The server's: the key of that authority. */
  readonly caKeyFile: string;
  /** The server's: the key that secrets are sealed with, unless another source is set. */
  readonly secretKey: string;
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
    snapshots: join(dataDir, 'snapshots'),
    volumes: join(dataDir, 'volumes'),
    egress: join(dataDir, 'egress'),
    layers: join(dataDir, 'layers'),
    caches: join(dataDir, 'caches'),
    contexts: join(dataDir, 'contexts'),
    roots: join(dataDir, 'roots'),
    machines: join(dataDir, 'machines'),
    server: join(dataDir, 'server'),
    database: join(dataDir, 'server', 'casemate.db'),
    keyFile: join(dataDir, 'server', 'admin.key'),
    tokenSecret: join(dataDir, 'server', 'token.secret'),
    caFile: join(dataDir, 'server', 'ca.pem'),
    caKeyFile: join(dataDir, 'server', 'ca.key'),
    secretKey: join(dataDir, 'server', 'secrets.key'),
    library: process.env.CASEMATE_LIB_DIR ?? join(defaultDataDir, 'lib'),
    agentDir: join(repository, 'build', 'agent'),
  };
}

/** Programs that no package brings: the user names them. */
export function namedPrograms(): Readonly<Record<'firecracker' | 'cloudHypervisor', string | undefined>> {
  return {
    firecracker: process.env.CASEMATE_FIRECRACKER,
    cloudHypervisor: process.env.CASEMATE_CLOUD_HYPERVISOR,
  };
}

/** Whether only this machine can reach what listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
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
  const match =
    /^((?:[a-z0-9][a-z0-9-]*\/)?[a-z0-9][a-z0-9-]*(?::[\w.-]+)?)(?:@([a-z0-9][a-z0-9-]*))?=(\d{1,4})$/.exec(
      text,
    );
  if (match?.[1] === undefined) {
    throw new CasemateError('invalid_request', `A pool is written template[@runtime]=n, not "${text}".`);
  }
  return { template: match[1], runtime: match[2] ?? 'gvisor', size: Number(match[3]) };
}

/** `hub`, `registry.example`, `hub=http://127.0.0.1:5000`. @throws CasemateError `invalid_request` */
export function parseRegistry(text: string): RegistrySetting {
  const match =
    /^(hub|[a-z0-9.-]+(?::\d+)?)(?:=(https?):\/\/([a-zA-Z0-9.-]+(?::\d+)?(?:\/[a-z0-9._/-]+)?)\/?)?$/.exec(
      text,
    );
  if (match?.[1] === undefined)
    throw new CasemateError('invalid_request', `A registry is written name[=http(s)://host], not "${text}".`);
  const [, name, scheme, location] = match;
  return { name, insecure: scheme === 'http', ...(location === undefined ? {} : { location }) };
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

/** The first folder, from the root down to `path`, that this user cannot pass through; undefined where there is none. */
export function closedFolder(path: string, { uid, gid }: SystemUser): string | undefined {
  const parent = dirname(path);
  const above = parent === path ? undefined : closedFolder(parent, { uid, gid });
  if (above !== undefined) return above;
  const { mode, uid: owner, gid: group } = statSync(path);
  const right = owner === uid ? 0o100 : group === gid ? 0o010 : 0o001;
  return (mode & right) === 0 ? path : undefined;
}
