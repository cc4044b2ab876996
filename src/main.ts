/** Wires the rooms by role: `root` (the small root process) and `server` (everything that reads hostile bytes). */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  closedFolder,
  instanceTag,
  isLoopback,
  pathsOf,
  type ServeConfig,
  type SystemUser,
  systemUser,
} from './base/config.ts';
import { CasemateError } from './base/errors.ts';
import { checkLimits } from './base/limits.ts';
import { createLog, type Log } from './base/log.ts';
import type { EgressConfig } from './egress/argv.ts';

export { examine, type Finding } from './doctor/examine.ts';

/** The system user that the unprivileged half runs as; the set-up creates it. */
const serverUserName = 'casemate';

export interface Serving {
  readonly url: string;
  /** File with the first admin key, mode 0600. */
  readonly keyFile: string;
  /** Where clients find the authority to trust, where the server made one for its domain. */
  readonly caFile?: string;
  /** Ends both processes; claimed sandboxes go on running and are adopted by the next start. */
  stop(): Promise<void>;
}

/**
 * Starts the root half in this process and the server beside it; resolves when the API answers.
 * @throws CasemateError `policy_unenforceable` when this host cannot keep Casemate's promises, `conflict` when another
 *   server uses the data directory.
 */
export async function serve(config: ServeConfig): Promise<Serving> {
  const [{ Root }, { Supervisor }] = await Promise.all([
    import('./rootd/root.ts'),
    import('./rootd/supervisor.ts'),
  ]);
  checkLimits();
  if (process.getuid?.() !== 0) {
    throw new CasemateError('policy_unenforceable', '`casemate serve` has to be started as root.', {
      hint: 'Its root half only makes namespaces, mounts and runtimes; the rest drops to an unprivileged user.',
    });
  }
  const log = createLog({ role: 'root' });
  const paths = pathsOf(config.dataDir);
  const serverUser = systemUser(serverUserName);
  const unlock = await lockDataDir(config.dataDir);
  chmodSync(config.dataDir, 0o711); // the server's user has to get through to its own folder
  const closed = closedFolder(config.dataDir, serverUser);
  if (closed !== undefined) {
    throw new CasemateError(
      'policy_unenforceable',
      `The user ${serverUserName} cannot get through ${closed}.`,
      {
        hint: `Its data lie below: use another --data-dir, or let others pass: chmod o+x ${closed}`,
      },
    );
  }
  mkdirSync(paths.server, { recursive: true, mode: 0o700 });
  chownSync(paths.server, serverUser.uid, serverUser.gid);
  if (!existsSync(`${paths.agentDir}/guest-agent`)) {
    throw new CasemateError('policy_unenforceable', 'The guest agent is not built.', {
      hint: 'Run `make setup`.',
    });
  }
  const { gvisorPlatform } = config;
  const environment = { ...process.env };
  delete process.env.CASEMATE_SECRET_KEY; // the server's alone: whatever else is started must not inherit it
  const root = new Root({
    dataDir: config.dataDir,
    paths,
    serverUser,
    registries: config.registries ?? [],
    log,
    ...(gvisorPlatform === undefined ? {} : { gvisorPlatform }),
  });
  await root.start();

  let port = config.port;
  const ready = Promise.withResolvers<string>();
  const supervisor = new Supervisor({
    argv: () => serverArgv({ ...config, port }),
    onSocket: (socket) => root.serve(socket, () => {}),
    onReady: (line) => {
      const { url } = JSON.parse(line) as { url: string };
      port = Number(new URL(url).port); // a restarted server listens where its clients expect it
      ready.resolve(url);
    },
    onHopeless: () =>
      ready.reject(new CasemateError('internal', 'The server does not start; its log says why.')),
    env: environment,
    log,
  });
  let egress: { stop(): Promise<void> } | undefined;
  const stop = async (): Promise<void> => {
    await supervisor.stop();
    await egress?.stop();
    await root.stop();
    unlock();
  };
  try {
    egress = await superviseEgress({ gate: root.gate, stateDir: paths.egress, user: serverUser }, log);
    supervisor.start();
    const ca = config.domain !== undefined && config.tls === undefined ? { caFile: paths.caFile } : {};
    return { url: await ready.promise, keyFile: paths.keyFile, ...ca, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Keeps the egress proxy running, as a process of its own without rights. While it does not run, nothing passes. */
async function superviseEgress(config: EgressConfig, log: Log): Promise<{ stop(): Promise<void> }> {
  const [{ egressArgv }, { Supervisor }] = await Promise.all([
    import('./egress/argv.ts'),
    import('./rootd/supervisor.ts'),
  ]);
  const ready = Promise.withResolvers<void>();
  const supervisor = new Supervisor({
    argv: () => egressArgv(config),
    onSocket: (socket) => socket.resume(), // its end tells the proxy that this process is gone
    onReady: () => ready.resolve(),
    onHopeless: () =>
      ready.reject(
        new CasemateError('policy_unenforceable', 'The egress proxy does not start; its log says why.'),
      ),
    log,
  });
  supervisor.start();
  try {
    await ready.promise;
    return supervisor;
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
}

/** The server starts as root to load its program from wherever it lies, and drops all rights before it reads anything. */
function serverArgv(config: ServeConfig): string[] {
  return [
    'setpriv',
    '--no-new-privs',
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    // Streams pass through in short-lived buffers: a small nursery frees them after 2 MiB and not after 64.
    '--max-semi-space-size=1',
    '--expose-gc', // for src/base/nursery.ts
    fileURLToPath(import.meta.url),
    JSON.stringify(config),
  ];
}

/** One server a data directory: an abstract socket is a lock that the kernel takes back when its holder dies. */
async function lockDataDir(dataDir: string): Promise<() => void> {
  const name = `\0casemate-${instanceTag(dataDir)}`;
  const lock = createServer((client) => client.destroy());
  await new Promise<void>((resolve, reject) => {
    lock.once('error', () =>
      reject(
        new CasemateError('conflict', `Another server uses ${dataDir}.`, {
          hint: 'Stop it or pass --data-dir.',
        }),
      ),
    );
    lock.listen(name, resolve);
  });
  lock.unref();
  return () => lock.close();
}

/** The unprivileged half: gateway, control, store, guest links. Runs until it is told to end or its root half is gone. */
async function runServer(config: ServeConfig): Promise<void> {
  const log = createLog({ role: 'server' });
  const [
    { createGateway },
    { createE2bProtocol },
    { createCore },
    { tokenSecret },
    { readSecretKey },
    { systemClock },
    { openStore },
    { HostNode },
    { RootClient },
    { EgressSocketClient },
    { egressSocketPath },
    { readPresets },
  ] = await Promise.all([
    import('./gateway/native/gateway.ts'),
    import('./gateway/e2b/gateway.ts'),
    import('./control/core.ts'),
    import('./control/tokens.ts'),
    import('./control/secretKey.ts'),
    import('./control/clock.ts'),
    import('./store/store.ts'),
    import('./node/node.ts'),
    import('./node/rootClient.ts'),
    import('./egress/client.ts'),
    import('./egress/argv.ts'),
    import('./policy/presets.ts'),
  ]);
  const paths = pathsOf(config.dataDir);
  const user = systemUser(serverUserName);
  const store = actingAs(user, () => openStore(paths.database));
  const secret = actingAs(user, () => tokenSecret(paths.tokenSecret));
  const secretKey = await readSecretKey({
    fromEnvironment: process.env.CASEMATE_SECRET_KEY,
    command: config.secretKeyCommand,
    file: config.secretKeyFile ?? paths.secretKey,
    owner: user,
  });
  delete process.env.CASEMATE_SECRET_KEY;
  const root = new RootClient(new Socket({ fd: 3, readable: true, writable: true }));
  root.on('end', () => process.exit(0));
  const node = new HostNode({ root, diskProbeDir: paths.server, log });
  const proxy = new EgressSocketClient({ socketPath: egressSocketPath(paths.egress), log });
  const presets = readPresets(); // takes a second or two, and only who uses one waits for it
  const contextsDir = paths.contexts;
  const core = createCore({
    ...{ store, node, clock: systemClock, log, proxy, presets, contextsDir, secretKey },
    tokenSecret: secret,
  });
  const e2b = await createE2bProtocol(core, {
    log,
    internet: config.e2bInternet ?? 'packages',
    ...(config.domain === undefined ? {} : { domain: config.domain }),
    publicPorts: (config.e2bPreviews ?? (isLoopback(config.host) ? 'public' : 'private')) === 'public',
  });
  const tls = await tlsOf(config, user);
  const gateway = await createGateway(core, {
    log,
    protocols: [e2b],
    ...(config.domain === undefined ? {} : { domain: config.domain }),
    ...(tls === undefined ? {} : { tls }),
  });
  dropRights(user); // before the first byte of a client or of a sandbox is read
  await node.start();
  root.on('denied', (refusal) => core.recordDenied(refusal));
  await core.start(config.pools);
  // Who can take the file away may have a new key: that is how a lost one is replaced.
  if (!core.hasKeys || !existsSync(paths.keyFile))
    writeFileSync(paths.keyFile, `${core.makeAdminKey()}\n`, { mode: 0o600 });
  const { port } = await gateway.listen(config.port, config.host);
  process.stdout.write(`${JSON.stringify({ url: `http://${config.host}:${port}` })}\n`);
  process.once('SIGTERM', () => {
    void gateway
      .close()
      .then(() => core.stop())
      .then(() => process.exit(0));
  });
  process.on('SIGINT', () => {}); // a terminal's Ctrl-C reaches the whole group; the root half says when to end
}

/** The certificate that was given, or one of the server's own authority where only a domain was. */
async function tlsOf(
  config: ServeConfig,
  user: SystemUser,
): Promise<{ cert: Buffer; key: Buffer } | undefined> {
  const { tls, domain } = config;
  if (tls !== undefined) return { cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) };
  if (domain === undefined) return undefined;
  const { localTls } = await import('./gateway/native/localAuthority.ts');
  const { caFile, caKeyFile } = pathsOf(config.dataDir);
  const made = await localTls(domain, { certificate: caFile, key: caKeyFile });
  for (const file of [caFile, caKeyFile]) chownSync(file, user.uid, user.gid);
  return made;
}

/** Files that are made meanwhile belong to the user; what has to be loaded still can be. */
function actingAs<Result>(user: SystemUser, work: () => Result): Result {
  process.umask(0o077);
  process.setegid?.(user.gid);
  process.seteuid?.(user.uid);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

function dropRights(user: SystemUser): void {
  process.setgroups?.([]);
  process.setgid?.(user.gid);
  process.setuid?.(user.uid);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const log: Log = createLog({ role: 'server' });
  runServer(JSON.parse(process.argv[2] ?? '{}') as ServeConfig).catch((error: unknown) => {
    log.error('server_failed', {
      reason: error instanceof Error ? (error.stack ?? error.message) : String(error),
    });
    process.exit(1);
  });
}
