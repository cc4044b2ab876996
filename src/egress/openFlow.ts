/** One accepted connection on its way: counted, cut, and told of when it ends. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Target } from '../policy/match.ts';
import type { Protocol } from '../policy/policy.ts';
import type { Inflow } from './inflow.ts';
import { Lane } from './lane.ts';
import { egressLimits } from './limits.ts';
import { Paced } from './paced.ts';
import type { Flow, SandboxEgress } from './sandbox.ts';

export interface OpenFlowOptions {
  readonly sandbox: SandboxEgress;
  readonly client: Socket;
  readonly target: Target;
  /** The address that the sandbox connected to. */
  readonly literal: string;
  readonly protocol: Protocol;
  readonly inspected: boolean;
  readonly rule: string;
  readonly refused?: boolean;
}

export class OpenFlow implements Flow {
  readonly sandbox: SandboxEgress;
  readonly target: Target;
  readonly literal: string;
  readonly protocol: Protocol;
  readonly inspected: boolean;
  readonly rule: string;
  readonly refused: boolean;
  /** Set where requests are read: whether those under way comply. */
  compliance: () => boolean = () => true;
  readonly #startedAt = Date.now();
  /** Counts the bytes: the connection itself, or the TLS around it. */
  #client: Socket;
  readonly #connection: Socket;
  #upstream: Socket | undefined;
  /** Requests are read from it as fast as they come. */
  #unpaced = false;
  #cutReason: string | undefined;
  #ended = false;

  constructor(options: OpenFlowOptions) {
    this.sandbox = options.sandbox;
    this.target = options.target;
    this.literal = options.literal;
    this.protocol = options.protocol;
    this.inspected = options.inspected;
    this.rule = options.rule;
    this.refused = options.refused === true;
    this.#client = options.client;
    this.#connection = options.client;
    this.sandbox.flows.add(this);
    options.client.once('close', () => this.#end());
  }

  get name(): string {
    return this.target.host ?? this.literal;
  }

  /** True once it was cut: what is still being set up for it has to stop. */
  get over(): boolean {
    return this.#cutReason !== undefined || this.#ended;
  }

  /** TLS was put around the client: bytes are counted there from now on. */
  wrapped(client: Socket): void {
    this.#client = client;
    client.once('close', () => this.#end());
  }

  bytes(): number {
    return this.#client.bytesRead + this.#client.bytesWritten;
  }

  complies(): boolean {
    return this.compliance() && !(this.#unpaced && this.sandbox.paced);
  }

  /** The client as requests are read from it, held back where its host has a rate. */
  paced(): Duplex {
    this.#unpaced = !this.sandbox.paced;
    return this.#unpaced ? this.#client : new Paced(this.#client, this.#pace);
  }

  readonly #pace = (bytes: number): number => this.sandbox.pace(this.target, bytes);

  cut(reason: string): void {
    this.#cutReason ??= reason;
    this.#connection.resetAndDestroy(); // TLS has no such thing as a reset
    if (this.#client !== this.#connection) this.#client.destroy();
    this.#upstream?.resetAndDestroy();
    this.#end();
  }

  /**
   * Carries bytes both ways until both sides have ended; tells of the flow then.
   * @param start what came from `upstream` before
   */
  relay(upstream: Socket, inflow: Inflow, start: Buffer): void {
    const client = this.#client;
    this.#upstream = upstream;
    client.setTimeout(egressLimits.idleMsMax, () => this.cut('idle'));
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => this.cut('upstream failed'));
    client.once('close', () => upstream.destroy());
    upstream.once('close', () => client.destroySoon());
    const out = new Lane(client, upstream, this.#pace);
    client.on('data', (chunk: Buffer) => {
      if (!out.take(chunk)) client.pause();
    });
    client.once('end', () => upstream.end());
    upstream.once('end', () => client.end());
    const back = new Lane(upstream, client, this.#pace);
    inflow.take = (chunk) => back.take(chunk);
    if (start.length === 0 || back.take(start)) upstream.resume();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.sandbox.closed(this);
    if (this.#upstream === undefined) return; // nothing was carried, or its requests were told of one by one
    this.sandbox.emit({
      kind: 'flow',
      sandboxId: this.sandbox.id,
      at: new Date().toISOString(),
      host: this.name,
      port: this.target.port,
      protocol: this.protocol,
      inspected: this.inspected,
      rule: this.rule,
      bytesSent: this.#client.bytesRead,
      bytesReceived: this.#client.bytesWritten,
      durationMs: Date.now() - this.#startedAt,
      ...(this.#cutReason === undefined ? {} : { cut: this.#cutReason }),
    });
  }
}
