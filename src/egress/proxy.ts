/** Decides what becomes of each connection that a sandbox opened: to a name, an address, or Casemate itself. */
import { EventEmitter } from 'node:events';
import type { Server, Socket } from 'node:net';
import { judgeConnection, portsOf, protocolOf, type Target, type Verdict } from '../policy/match.ts';
import { removeAuthority } from './authority.ts';
import { Datagrams, type OpenUdp } from './datagrams.ts';
import { serveHttp } from './httpServer.ts';
import { Inflow } from './inflow.ts';
import { egressLimits } from './limits.ts';
import { OpenFlow } from './openFlow.ts';
import { serviceAddress } from './pins.ts';
import { SandboxEgress } from './sandbox.ts';
import { servePage } from './servicePage.ts';
import { targetOf } from './targets.ts';
import { type Accepted, handleTls } from './tls.ts';
import type { EgressEvent, KernelRefusal, SandboxSettings } from './types.ts';
import { connectUpstream, UpstreamRefusal } from './upstream.ts';

export class EgressProxy {
  readonly events = new EventEmitter<{ event: [EgressEvent] }>();
  readonly #stateDir: string;
  readonly #listenOn: (ports: readonly number[]) => Promise<void>;
  readonly #byId = new Map<string, SandboxEgress>();
  readonly #byAddress = new Map<string, SandboxEgress>();
  readonly #datagrams: Datagrams;

  constructor(options: {
    /** Where authorities are kept. */
    readonly stateDir: string;
    /** Resolves when the gate listens on all of them. */
    readonly listenOn: (ports: readonly number[]) => Promise<void>;
    /** Resolves with a socket that the gate has at this address. */
    readonly openUdp: OpenUdp;
  }) {
    this.#stateDir = options.stateDir;
    this.#listenOn = options.listenOn;
    this.#datagrams = new Datagrams(options.openUdp, (address) => this.#byAddress.get(address));
    setInterval(() => {
      for (const sandbox of this.#byId.values()) sandbox.enforceBytes();
    }, egressLimits.bytesCheckMs).unref();
  }

  /** @throws CasemateError of `parseLevel`; then the policy before stays in force. */
  async set(settings: SandboxSettings): Promise<{ caCertificate?: string }> {
    const before = this.#byAddress.get(settings.address);
    if (before !== undefined && before.id !== settings.id) await this.remove(before.id); // its link is another's now
    const known = this.#byId.get(settings.id);
    const sandbox = known ?? new SandboxEgress(settings, this.#stateDir, this.events);
    sandbox.apply(settings);
    if (known === undefined) {
      this.#byId.set(sandbox.id, sandbox);
      this.#byAddress.set(sandbox.address, sandbox);
    }
    await Promise.all([
      this.#listenOn([...portsOf(sandbox.policy)]),
      this.#datagrams.listenFor(sandbox, this.#byId.values()),
    ]);
    return sandbox.terminates() ? { caCertificate: (await sandbox.authority()).certificate } : {};
  }

  async remove(id: string): Promise<void> {
    const sandbox = this.#byId.get(id);
    this.#byId.delete(id);
    if (sandbox !== undefined) {
      if (this.#byAddress.get(sandbox.address) === sandbox) this.#byAddress.delete(sandbox.address);
      sandbox.cutAll('sandbox ended');
      this.#datagrams.closeUnneeded(this.#byId.values());
      await sandbox.authorityWritten();
    }
    await removeAuthority(this.#stateDir, id);
  }

  async keepOnly(ids: readonly string[]): Promise<void> {
    await Promise.all([...this.#byId.keys()].filter((id) => !ids.includes(id)).map((id) => this.remove(id)));
  }

  sandboxAt(address: string): SandboxEgress | undefined {
    return this.#byAddress.get(address);
  }

  /** What the kernel refused, told with the name that the address stands for. */
  refused(refusal: KernelRefusal): void {
    const sandbox = this.#byId.get(refusal.id);
    if (sandbox === undefined) return;
    const { address, port } = refusal;
    const protocol = refusal.protocol === 'udp' ? 'udp' : 'tcp';
    const target = targetOf(sandbox, address, port);
    const host = target?.host ?? address;
    const verdict =
      protocol === 'udp' ? judgeRefusedUdp(sandbox, target) : judgeRefused(sandbox, target, port);
    if (verdict.allowed) return; // the proxy was away for a moment
    const { code, rule, hint } = verdict;
    sandbox.deny({ code, rule, hint, host, port, protocol });
  }

  /** Accepts connections of a server that was opened in the gate. */
  serve(server: Server): void {
    server.on('connection', (client: Socket) => {
      client.on('error', () => client.destroy());
      const sandbox = this.#byAddress.get(client.remoteAddress ?? '');
      if (sandbox === undefined) return void client.resetAndDestroy();
      if (sandbox.sockets >= egressLimits.socketsMax) return void client.resetAndDestroy();
      sandbox.sockets += 1;
      client.once('close', () => {
        sandbox.sockets -= 1;
      });
      this.#accept(sandbox, client).catch(() => client.resetAndDestroy());
    });
  }

  async #accept(sandbox: SandboxEgress, client: Socket): Promise<void> {
    const literal = client.localAddress ?? '';
    const port = client.localPort ?? 0;
    if (literal === serviceAddress && port === 80) return servePage(sandbox, client);
    const target = targetOf(sandbox, literal, port);
    if (target === undefined) {
      const hint = 'This address stands for no name (any more): look the name up again.';
      return reset({ sandbox, client, target: { port }, literal }, refusal('address_not_allowed', hint));
    }
    const accepted: Accepted = { sandbox, client, target, literal };
    const protocol = protocolOf(sandbox.policy, target);
    if (target.host !== undefined && protocol === 'tls') return handleTls(accepted);
    const verdict = judgeConnection(sandbox.policy, target, protocol);
    // Requests to a name, and refused ones to an address, get an answer that can be read.
    if (protocol === 'http' && (target.host !== undefined || !verdict.allowed))
      return this.#http(accepted, verdict);
    if (!verdict.allowed) return reset(accepted, verdict);
    await this.#raw(accepted, verdict.rule);
  }

  #http(accepted: Accepted, verdict: Verdict): void {
    const { sandbox, client, target, literal } = accepted;
    const admitted = sandbox.admit(target);
    const flow = new OpenFlow({
      sandbox,
      client,
      target,
      literal,
      protocol: 'http',
      inspected: true,
      rule: verdict.rule,
      refused: !admitted.allowed,
    });
    // Without a name there is no Host to agree with: the verdict on the connection is the answer to every request.
    const refusal = admitted.allowed ? verdict : admitted;
    serveHttp(
      flow.paced(),
      flow,
      refusal.allowed || (admitted.allowed && target.host !== undefined) ? undefined : refusal,
    );
  }

  async #raw(accepted: Accepted, rule: string): Promise<void> {
    const { sandbox, client, target, literal } = accepted;
    const admitted = sandbox.admit(target);
    if (!admitted.allowed) return reset(accepted, admitted);
    const flow = new OpenFlow({ sandbox, client, target, literal, protocol: 'tcp', inspected: false, rule });
    const inflow = new Inflow();
    try {
      const upstream = await connectUpstream(sandbox, target, literal, { client, inflow });
      if (flow.over) return void upstream.destroy();
      flow.relay(upstream, inflow, Buffer.alloc(0));
    } catch (error) {
      if (!(error instanceof UpstreamRefusal)) throw error;
      if (flow.over) return;
      reset(accepted, { allowed: false, code: error.code, rule: error.rule, hint: error.message });
    }
  }
}

function refusal(code: 'address_not_allowed', hint: string): Verdict & { allowed: false } {
  return { allowed: false, code, rule: 'default deny', hint };
}

function judgeRefusedUdp(sandbox: SandboxEgress, target: Target | undefined): Verdict {
  if (target !== undefined && judgeConnection(sandbox.policy, target, 'udp').allowed)
    return { allowed: true, rule: '' };
  const hint =
    'UDP leaves where a rule with protocol udp names the host and the port; names are asked of DNS.';
  return { allowed: false, code: 'protocol_not_allowed', rule: 'default deny', hint };
}

function judgeRefused(sandbox: SandboxEgress, target: Target | undefined, port: number): Verdict {
  if (target === undefined)
    return refusal('address_not_allowed', 'This address stands for no name (any more).');
  const verdict = judgeConnection(sandbox.policy, target, protocolOf(sandbox.policy, target));
  if (!verdict.allowed || target.host !== undefined) return verdict;
  return refusal('address_not_allowed', `Nobody reaches this address on port ${port}, whatever a rule says.`);
}

function reset(accepted: Accepted, verdict: Verdict & { allowed: false }): void {
  const { sandbox, client, target, literal } = accepted;
  const { code, rule, hint } = verdict;
  sandbox.deny({ code, rule, hint, host: target.host ?? literal, port: target.port, protocol: 'tcp' });
  client.resetAndDestroy();
}
