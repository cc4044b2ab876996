/** A small internet in namespaces for the egress tests: world ↔ the proxy's host ↔ gate ↔ sandboxes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EgressPolicy } from '../../../schema/policy.ts';
import { systemUser } from '../../../src/base/config.ts';
import { newId } from '../../../src/base/ids.ts';
import { createLog } from '../../../src/base/log.ts';
import { EgressSocketClient } from '../../../src/egress/client.ts';
import { egressArgv, egressSocketPath } from '../../../src/egress/argv.ts';
import type { BoundSecret, DenialEvent, EgressEvent, FlowEvent } from '../../../src/egress/types.ts';
import type { Presets } from '../../../src/policy/policy.ts';
import { takeDenials } from '../../../src/network/denials.ts';
import { type SandboxLink, SandboxNetworks } from '../../../src/network/namespace.ts';
import { endChild, World } from './outside.ts';

export const noPresets: Presets = { pip: [], npm: [], apt: [], cargo: [], go: [] };

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
    options?: { administrator?: boolean; secrets?: BoundSecret[]; learns?: boolean; presets?: Presets },
  ): Promise<void>;
  /** File with the certificate of its own authority. */
  readonly trust: string;
}

export class Range extends World {
  readonly networks = new SandboxNetworks(this.tag);
  readonly events: EgressEvent[] = [];
  readonly players: Player[] = [];
  readonly client = new EgressSocketClient({
    socketPath: egressSocketPath(join(this.directory, 'egress')),
    log: createLog({ role: 'test' }),
  });
  proxy: ChildProcess | undefined;

  override async open(): Promise<void> {
    await super.open();
    await this.networks.openGate();
    this.client.onEvent((event) => this.events.push(event));
    await this.startProxy();
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
    this.resolver(link.namespace, '198.18.0.1');
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
          presets: options.presets ?? noPresets,
          secrets: options.secrets ?? [],
          learns: options.learns === true,
        });
        if (caCertificate !== undefined) writeFileSync(trust, caCertificate);
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

  override async close(): Promise<void> {
    this.client.close();
    await endChild(this.proxy);
    for (const { id, link } of this.players) {
      await this.networks.destroy(id);
      rmSync(`/etc/netns/${link.namespace}`, { recursive: true, force: true });
    }
    await this.networks.closeGate();
    await super.close();
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
