/** What egress costs: a connection, a request and a flow through the proxy, beside none and beside other proxies. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Sandbox } from '../sdk/typescript/src/index.ts';
import { type Player, Range } from '../test/system/egress/range.ts';
import { WorldServer } from '../test/system/egress/worldServer.ts';
import { needTemplates } from '../test/system/server.ts';
import { EgressPeers, gateAddress, inGate, installPeers, outside } from './egressPeers.ts';
import { add, mib } from './shared.ts';
import { figure } from './stats.ts';

/** Both lead to the same server; the requests to one of them are read. */
const passed = 'passed.world.test';
const inspected = 'inspected.world.test';
const ports = [outside.https, outside.flow];
const policy = {
  allow: [
    { host: passed, ports, protocol: 'tls' as const },
    { host: inspected, ports, protocol: 'tls' as const, inspect: true },
  ],
};
const program = readFileSync(fileURLToPath(new URL('./egressClient.py', import.meta.url)), 'utf8');

interface Plan {
  readonly rounds: number;
  readonly flowRounds: number;
  readonly flowBytes: number;
  readonly downloadBytes: number;
}

type Samples = Readonly<Record<string, number[]>>;
interface Measured {
  readonly fresh: Samples;
  readonly kept: Samples;
  readonly flow: Samples;
  readonly download: Samples;
}

/** How a client gets to the server: through what, and by which name. */
function waysOf(debian: boolean): Record<'requests' | 'flows' | 'downloads', object> {
  const direct = { host: gateAddress, port: inGate.https, name: passed, serverPort: outside.https };
  const pass = { host: passed, port: outside.https, name: passed, serverPort: outside.https };
  const terminated = { host: inspected, port: outside.https, name: inspected, serverPort: outside.https };
  const through = (port: number, serverPort: number): object => ({
    ...{ host: gateAddress, port, name: passed, serverPort },
    connect: `${outside.address}:${serverPort}`,
  });
  return {
    requests: { direct, pass, terminated, pipe: { ...direct, port: inGate.securedPipe } },
    flows: {
      direct: { ...direct, port: inGate.flow },
      pass: { ...pass, port: outside.flow },
      pipe: { ...direct, port: inGate.pipe },
      ...(debian ? { squid: through(inGate.squid, outside.flow) } : {}),
    },
    downloads: {
      direct,
      terminated,
      ...(debian ? { mitmproxy: through(inGate.mitmproxy, outside.https) } : {}),
    },
  };
}

/** Each round's cost over the direct way of the same round. */
function added(samples: Samples, way: string): number[] {
  const direct = samples.direct ?? [];
  return (samples[way] ?? []).map((ms, round) => ms - (direct[round] ?? Number.NaN));
}

function report(where: string, { fresh, kept, flow, download }: Measured): void {
  add(figure(`${where}: new TLS connection, no proxy`, fresh.direct ?? []));
  // The floor: what the least that Node can do adds in the same place.
  add(figure(`${where}: bare pipe, added to a new one`, added(fresh, 'pipe')));
  add(figure(`${where}: bare pipe, added to a request`, added(kept, 'pipe')));
  for (const [way, text, msMax] of [
    ['pass', 'passed through', 1],
    ['terminated', 'terminated', 3],
  ] as const) {
    const promise = `p50 ≤ ${msMax} ms`;
    const keeps = (p50: number): boolean => p50 <= msMax;
    add(figure(`${where}: ${text}, added to a new one`, added(fresh, way), { promise, keeps }));
    add(figure(`${where}: ${text}, added to a request`, added(kept, way), { promise, keeps }));
  }
  const { squid, pipe = [] } = flow;
  add(
    figure(`${where}: flow passed through`, flow.pass ?? [], {
      unit: 'MiB/s',
      peers: { 'bare pipe': pipe, 'no proxy': flow.direct ?? [], ...(squid && { squid }) },
      promise: '≥ 0.8× bare pipe, ≥ squid',
      keeps: (_p50, _p99, peers) => (peers['bare pipe'] ?? 0) >= 0.8 && (peers.squid ?? 1) >= 1,
    }),
  );
  const { mitmproxy } = download;
  add(
    figure(`${where}: download terminated`, download.terminated ?? [], {
      unit: 'MiB/s',
      peers: { 'no proxy': download.direct ?? [], ...(mitmproxy && { mitmproxy }) },
      promise: '≥ mitmproxy',
      keeps: (_p50, _p99, peers) => (peers.mitmproxy ?? 1) >= 1,
    }),
  );
}

async function fromNamespace(debian: boolean, plan: Plan): Promise<void> {
  const range = new Range();
  await range.open();
  const peers = new EgressPeers({ world: range, gate: `/run/netns/${range.networks.gate}`, debian });
  try {
    await peers.open();
    const player: Player = await range.player();
    await player.set([policy]);
    const argv = ['python3', '-c', program, JSON.stringify({ ...plan, ...waysOf(debian) })];
    const { stdout, stderr } = await player.run(argv, 240_000);
    if (stdout === '') throw new Error(stderr.slice(-500));
    report('netns', JSON.parse(stdout) as Measured);
  } finally {
    await peers.close();
    await range.close();
  }
}

async function fromRuntimes(debian: boolean, plans: Readonly<Record<string, Plan>>): Promise<void> {
  const world = new WorldServer();
  let peers: EgressPeers | undefined;
  try {
    await world.start();
    const { server } = world;
    await needTemplates(server, ['python']);
    const gate = `/proc/${server.process.pid}/root/run/netns/${world.gate}`;
    peers = new EgressPeers({ world, gate, debian });
    await peers.open();
    const runtimes = await server.client.runtimes.list();
    for (const [runtime, plan] of Object.entries(plans)) {
      if (runtimes.find(({ name }) => name === runtime)?.available !== true) {
        console.log(`egress from ${runtime}: skipped, the runtime cannot run here`);
        continue;
      }
      const options = { url: server.url, apiKey: server.apiKey, template: 'python', timeoutMs: 900_000 };
      await using sandbox = await Sandbox.create({ ...options, runtime, policy });
      await sandbox.files.write('/tmp/client.py', program);
      const argv = ['python3', '/tmp/client.py', JSON.stringify({ ...plan, ...waysOf(debian) })];
      const { stdout, stderr } = await sandbox.exec(argv, { timeoutMs: 600_000 });
      if (stdout === '') throw new Error(`${runtime}: ${stderr.slice(-500)}`);
      report(runtime, JSON.parse(stdout) as Measured);
    }
  } finally {
    await peers?.close();
    await world.close();
  }
}

const quick: Plan = { rounds: 200, flowRounds: 5, flowBytes: 512 * mib, downloadBytes: 128 * mib };
const runtimePlans: Readonly<Record<string, Plan>> = {
  gvisor: { ...quick, rounds: 150, flowBytes: 128 * mib, downloadBytes: 64 * mib },
  qemu: { rounds: 60, flowRounds: 3, flowBytes: 32 * mib, downloadBytes: 8 * mib },
};

/**
 * Starts worlds and a server of its own.
 * @param places `netns` and runtimes; all of them by default
 */
export async function egress(places: readonly string[] = []): Promise<void> {
  const missing = installPeers();
  if (missing !== undefined) console.log(`squid, mitmproxy: skipped, ${missing}`);
  const debian = missing === undefined;
  const wanted = (place: string): boolean => places.length === 0 || places.includes(place);
  if (wanted('netns')) await unlessBroken('netns', () => fromNamespace(debian, quick));
  const plans = Object.fromEntries(Object.entries(runtimePlans).filter(([runtime]) => wanted(runtime)));
  if (Object.keys(plans).length > 0) await unlessBroken('runtimes', () => fromRuntimes(debian, plans));
}

/** What cannot be measured does not take the other figures with it. */
async function unlessBroken(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    console.log(
      `egress, ${what}: NOT MEASURED further: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await egress(process.argv.slice(2));
