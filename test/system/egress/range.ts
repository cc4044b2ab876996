/** A small internet in namespaces for the egress tests: world ↔ the proxy's host ↔ gate ↔ sandboxes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { EgressPolicy } from '../../../schema/policy.ts';
import { runCommand } from '../../../src/base/child.ts';
import { systemUser } from '../../../src/base/config.ts';
import { newId } from '../../../src/base/ids.ts';
import { createLog } from '../../../src/base/log.ts';
import { EgressSocketClient } from '../../../src/egress/client.ts';
import { egressArgv, egressSocketPath } from '../../../src/egress/argv.ts';
import type { BoundSecret, DenialEvent, EgressEvent, FlowEvent } from '../../../src/egress/types.ts';
import { takeDenials } from '../../../src/network/denials.ts';
import { type SandboxLink, SandboxNetworks } from '../../../src/network/namespace.ts';

export const noPresets = { pip: [], npm: [], apt: [], cargo: [], go: [] };

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Player {
  readonly id: string;
  readonly link: SandboxLink;
  /** Runs a program where the sandbox stands. */
  run(argv: readonly string[], timeoutMs?: number): Promise<Ran>;
  python(program: string, timeoutMs?: number): Promise<Ran>;
  /** One level per policy; the first is an administrator's where `administrator` says so. */
  set(
    policies: readonly EgressPolicy[],
    options?: { administrator?: boolean; secrets?: BoundSecret[] },
  ): Promise<void>;
  /** File with the certificate of its own authority. */
  readonly trust: string;
}

export class Range {
  readonly tag = newId(6);
  readonly networks = new SandboxNetworks(this.tag);
  readonly host = `egh-${this.tag}`;
  readonly world = `egw-${this.tag}`;
  readonly directory = mkdtempSync(join(tmpdir(), 'casemate-egress-'));
  readonly events: EgressEvent[] = [];
  /** What arrived in the world. */
  readonly arrived: Record<string, unknown>[] = [];
  readonly players: Player[] = [];
  readonly client = new EgressSocketClient({
    socketPath: egressSocketPath(join(this.directory, 'egress')),
    log: createLog({ role: 'test' }),
  });
  #worldProcess: ChildProcess | undefined;
  readonly #captures: ChildProcess[] = [];
  proxy: ChildProcess | undefined;
  worldCertificate = '';

  async open(): Promise<void> {
    chmodSync(this.directory, 0o755);
    await runCommand(['ip', '-batch', '-'], {
      input: [
        `netns add ${this.host}`,
        `netns add ${this.world}`,
        `link add h0 netns ${this.host} type veth peer name w0 netns ${this.world}`,
        '',
      ].join('\n'),
    });
    await runCommand(['ip', '-n', this.host, '-batch', '-'], {
      input: 'link set lo up\naddr add 5.5.0.1/16 dev h0\nlink set h0 up\nroute add default via 5.5.0.2\n',
    });
    const local = ['5.5.1.0/24', '5.6.0.0/16', '10.77.0.0/16', '169.254.169.254/32'];
    await runCommand(['ip', '-n', this.world, '-batch', '-'], {
      input: [
        'link set lo up',
        'addr add 5.5.0.2/16 dev w0',
        'link set w0 up',
        ...local.map((range) => `route add local ${range} dev lo`),
        '',
      ].join('\n'),
    });
    this.#resolver(this.host, '5.5.0.2');
    await this.networks.openGate();
    await this.#startWorld();
    this.client.onEvent((event) => this.events.push(event));
    await this.startProxy();
  }

  #resolver(namespace: string, address: string): void {
    mkdirSync(`/etc/netns/${namespace}`, { recursive: true });
    writeFileSync(
      `/etc/netns/${namespace}/resolv.conf`,
      `nameserver ${address}\noptions timeout:2 attempts:1\n`,
    );
  }

  async #startWorld(): Promise<void> {
    const program = fileURLToPath(new URL('./world.ts', import.meta.url));
    const child = spawn(
      'ip',
      [
        'netns',
        'exec',
        this.world,
        process.execPath,
        '--disable-warning=ExperimentalWarning',
        program,
        this.directory,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.#worldProcess = child;
    const ready = Promise.withResolvers<void>();
    if (child.stdout === null) throw new Error('the world has no stdout');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const seen = JSON.parse(line) as Record<string, unknown>;
      if (seen.kind !== 'ready') return void this.arrived.push(seen);
      this.worldCertificate = join(this.directory, 'world.pem');
      writeFileSync(this.worldCertificate, String(seen.certificate));
      ready.resolve();
    });
    child.once('exit', () => ready.reject(new Error('the world ended')));
    await ready.promise;
  }

  async startProxy(): Promise<void> {
    const stateDir = join(this.directory, 'egress');
    const argv = egressArgv({ gate: this.networks.gate, stateDir, user: systemUser('casemate') });
    this.proxy = spawn('ip', ['netns', 'exec', this.host, ...argv], {
      stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: this.worldCertificate },
    });
    if (this.proxy.stdout === null) throw new Error('the proxy has no stdout');
    await once(createInterface({ input: this.proxy.stdout }), 'line');
  }

  async player(): Promise<Player> {
    const id = newId();
    const link = await this.networks.create(id, this.players.length);
    this.#resolver(link.namespace, '198.18.0.1');
    const trust = join(this.directory, `${id}.pem`);
    const run = (argv: readonly string[], timeoutMs = 20_000): Promise<Ran> =>
      runIn(link.namespace, argv, timeoutMs);
    const player: Player = {
      id,
      link,
      trust,
      run,
      python: (program, timeoutMs) => run(['python3', '-c', program], timeoutMs),
      set: async (policies, options = {}) => {
        const { caCertificate } = await this.client.set({
          id,
          address: link.sandboxAddress,
          levels: policies.map((policy, index) => ({
            name: ['sandbox', 'tenant', 'template'][index] ?? 'more',
            administrator: options.administrator === true && index === 0,
            policy,
          })),
          presets: noPresets,
          secrets: options.secrets ?? [],
        });
        writeFileSync(trust, caCertificate);
      },
    };
    this.players.push(player);
    return player;
  }

  /** The first denial of a player after `since` that fits. */
  denial(player: Player, code: string, since = 0): Promise<DenialEvent> {
    return this.#wait(
      since,
      (event) => event.kind === 'denied' && event.sandboxId === player.id && event.code === code,
    ) as Promise<DenialEvent>;
  }

  flow(player: Player, host: string, since = 0): Promise<FlowEvent> {
    return this.#wait(
      since,
      (event) => event.kind === 'flow' && event.sandboxId === player.id && event.host === host,
    ) as Promise<FlowEvent>;
  }

  async #wait(since: number, fits: (event: EgressEvent) => boolean): Promise<EgressEvent> {
    for (let round = 0; round < 100; round += 1) {
      const found = this.events.slice(since).find(fits);
      if (found !== undefined) return found;
      await sleep(50);
    }
    throw new Error(`no such event among ${JSON.stringify(this.events.slice(since))}`);
  }

  /** Hands the kernel's refusals to the proxy, as the root process's watch does. */
  async tellRefusals(): Promise<void> {
    for (const { gateInterface, ...refusal } of await takeDenials(this.networks.gate)) {
      const player = this.players.find(({ link }) => link.gateInterface === gateInterface);
      if (player !== undefined) this.client.refused({ id: player.id, ...refusal });
    }
  }

  /** Captures on a namespace's interface (`any` for all) until the returned function is called; it answers the packets. */
  async capture(
    namespace: string,
    device: string,
    filter: readonly string[],
  ): Promise<() => Promise<string[]>> {
    const child = spawn(
      'ip',
      ['netns', 'exec', namespace, 'tcpdump', '-U', '-l', '-n', '-i', device, ...filter],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#captures.push(child);
    const lines: string[] = [];
    if (child.stdout === null || child.stderr === null) throw new Error('tcpdump has no output');
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line !== '') lines.push(line);
    });
    for await (const line of createInterface({ input: child.stderr })) if (/listening on/.test(line)) break;
    return async () => {
      await sleep(500);
      const gone = once(child, 'exit');
      child.kill('SIGINT');
      await gone;
      return lines;
    };
  }

  async close(): Promise<void> {
    this.client.close();
    for (const child of [this.proxy, this.#worldProcess, ...this.#captures]) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    for (const { id, link } of this.players) {
      await this.networks.destroy(id);
      rmSync(`/etc/netns/${link.namespace}`, { recursive: true, force: true });
    }
    await this.networks.closeGate();
    for (const namespace of [this.host, this.world]) {
      await runCommand(['ip', 'netns', 'del', namespace]).catch(() => {}); // it was never made
      rmSync(`/etc/netns/${namespace}`, { recursive: true, force: true });
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function runIn(namespace: string, argv: readonly string[], timeoutMs: number): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn('ip', ['netns', 'exec', namespace, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, stdout, stderr });
    });
  });
}

/** What is missing for these tests, if anything. */
export function missingForRange(): string | undefined {
  if (process.getuid?.() !== 0) return 'namespaces need root';
  return process.platform === 'linux' ? undefined : 'namespaces need Linux';
}
