/** What the egress benchmark measures beside Casemate's proxy: a server without one, a bare pipe, squid and mitmproxy. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../src/base/child.ts';
import { endChild, type World } from '../test/system/egress/outside.ts';

/** In the world: the server's address and its ports for TLS and for flows. */
export const outside = { address: '5.5.1.1', https: 9443, flow: 9444 } as const;
/** In the gate, on any address. */
export const inGate = {
  https: 9543,
  flow: 9544,
  pipe: 9644,
  securedPipe: 9643,
  squid: 3128,
  mitmproxy: 3129,
} as const;
/** Any address that the gate takes for its own. */
export const gateAddress = '5.9.0.1';

const bootMsMax = 30_000;
const squidConfig = `http_port 0.0.0.0:${inGate.squid}
http_access allow all
cache deny all
access_log none
cache_log /dev/null
pid_filename none
pinger_enable off
cache_effective_user proxy
shutdown_lifetime 1 second
`;

/** Installed without being started; answers why one cannot be had. */
export function installPeers(): string | undefined {
  const missing = ['squid', 'mitmproxy'].filter(
    (name) => spawnSync('dpkg', ['-s', name], { stdio: 'ignore' }).status !== 0,
  );
  if (missing.length === 0) return undefined;
  const policy = '/usr/sbin/policy-rc.d'; // Debian's own way to say that nothing is to be started
  const script = `[ -e ${policy} ] || { trap 'rm -f ${policy}' EXIT; printf '#!/bin/sh\\nexit 101\\n' >${policy}; chmod 755 ${policy}; }
    apt-get install -y -qq --no-install-recommends "$@"`;
  const done = spawnSync('bash', ['-c', script, 'bash', ...missing], {
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: 'ignore',
    timeout: 300_000,
  });
  return done.status === 0 ? undefined : `Debian's ${missing.join(' and ')} cannot be installed here`;
}

export interface PeersOptions {
  readonly world: World;
  /** The gate's namespace, as a file. */
  readonly gate: string;
  /** Whether squid and mitmproxy are there. */
  readonly debian: boolean;
}

/** They stand in the gate, where Casemate's proxy listens, with a line of their own to the world: nothing else leaves it. */
export class EgressPeers {
  readonly #options: PeersOptions;
  readonly #children: ChildProcess[] = [];

  constructor(options: PeersOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { world, gate, debian } = this.#options;
    const batch = (net: string, lines: readonly string[]): Promise<unknown> =>
      runCommand(['nsenter', `--net=${net}`, 'ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
    const worldFile = `/run/netns/${world.world}`;
    await batch(gate, [
      `link add bench type veth peer name bench netns ${world.world}`,
      'addr add 5.7.0.1/30 dev bench',
      'link set bench up',
      // The gate takes every address for its own; this one is an exception while it is measured.
      `route add ${outside.address}/32 dev bench table local`,
    ]);
    await batch(worldFile, ['addr add 5.7.0.2/30 dev bench', 'link set bench up']);
    await runCommand(['nsenter', `--net=${worldFile}`, 'sysctl', '-qw', 'net.ipv4.conf.bench.arp_ignore=0']);
    const server = (address: string, ports: { https: number; flow: number }): string[] => [
      ...node('egressServer.ts'),
      ...[world.directory, address, String(ports.https), String(ports.flow)],
    ];
    this.#start(worldFile, server(outside.address, outside));
    this.#start(gate, server('0.0.0.0', inGate));
    const pipe = (port: number, upstreamPort: number): void =>
      this.#start(gate, [...node('pipeProxy.ts'), String(port), outside.address, String(upstreamPort)]);
    pipe(inGate.pipe, outside.flow);
    pipe(inGate.securedPipe, outside.https);
    if (debian) this.#startDebian(gate);
    const ports = [
      inGate.https,
      inGate.flow,
      inGate.pipe,
      inGate.securedPipe,
      ...(debian ? [inGate.squid, inGate.mitmproxy] : []),
    ];
    await listening(gate, ports);
    await listening(worldFile, [outside.https, outside.flow]);
  }

  #startDebian(gate: string): void {
    const { directory } = this.#options.world;
    const config = join(directory, 'squid.conf');
    writeFileSync(config, squidConfig);
    this.#start(gate, ['squid', '-N', '-f', config]);
    const home = join(directory, 'mitmproxy');
    mkdirSync(home);
    // It would hold whole bodies otherwise, and be slower for it.
    const settings = ['ssl_insecure=true', 'stream_large_bodies=64k', `confdir=${home}`];
    this.#start(gate, [
      ...['mitmdump', '-q', '--listen-port', String(inGate.mitmproxy)],
      ...settings.flatMap((setting) => ['--set', setting]),
    ]);
  }

  #start(net: string, argv: readonly string[]): void {
    this.#children.push(
      spawn('nsenter', [`--net=${net}`, ...argv], { stdio: ['ignore', 'ignore', 'inherit'] }),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map(endChild));
    await runCommand(['nsenter', `--net=${this.#options.gate}`, 'ip', 'link', 'del', 'bench']).catch(
      () => {},
    ); // the gate is gone
  }
}

function node(program: string): string[] {
  const path = fileURLToPath(new URL(`./${program}`, import.meta.url));
  return [process.execPath, '--disable-warning=ExperimentalWarning', path];
}

async function listening(net: string, ports: readonly number[]): Promise<void> {
  const until = Date.now() + bootMsMax;
  let open: string[] = [];
  while (Date.now() < until) {
    const { stdout } = await runCommand(['nsenter', `--net=${net}`, 'ss', '-Hltn']);
    open = [...stdout.matchAll(/:(\d+) /g)].map((match) => match[1] ?? '');
    if (ports.every((port) => open.includes(String(port)))) return;
    await sleep(100);
  }
  throw new Error(`of the ports ${ports.join(', ')} only ${open.join(', ')} are listened on`);
}
