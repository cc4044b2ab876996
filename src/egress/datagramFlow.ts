/** One flow of UDP: the datagrams between a port of a sandbox and one place, counted, cut, and told of when it ends. */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { DenialCode, Target } from '../policy/match.ts';
import { egressLimits } from './limits.ts';
import type { Flow, SandboxEgress } from './sandbox.ts';
import { addressesFor, UpstreamRefusal } from './upstream.ts';

export interface DatagramFlowOptions {
  readonly sandbox: SandboxEgress;
  readonly target: Target;
  /** The address that the sandbox sends to. */
  readonly literal: string;
  readonly rule: string;
  /** Sends to the sandbox, from the address that it sent to. */
  readonly answer: (bytes: Buffer) => void;
  readonly deny: (code: DenialCode, rule: string, hint: string) => void;
  readonly onEnd: () => void;
}

export class DatagramFlow implements Flow {
  readonly target: Target;
  readonly protocol = 'udp';
  readonly inspected = false;
  readonly #options: DatagramFlowOptions;
  readonly #startedAt = Date.now();
  readonly #idle: NodeJS.Timeout;
  #upstream: Socket | undefined;
  #connected = false;
  /** Sent before the host's address was known. */
  #waiting: Buffer[] = [];
  #sent = 0;
  #received = 0;
  #ended = false;

  constructor(options: DatagramFlowOptions) {
    this.#options = options;
    this.target = options.target;
    this.#idle = setTimeout(() => this.#end(), egressLimits.datagramIdleMs).unref();
    options.sandbox.flows.add(this);
    this.#open().catch((error: unknown) => this.#failed(error));
  }

  bytes(): number {
    return this.#sent + this.#received;
  }

  /** Nothing in it is judged but where it leads. */
  complies(): boolean {
    return true;
  }

  cut(reason: string): void {
    this.#end(reason);
  }

  send(bytes: Buffer): void {
    if (this.#ended) return;
    this.#idle.refresh();
    if (this.#upstream === undefined || !this.#connected) {
      if (this.#waiting.length < egressLimits.datagramsWaitingMax) this.#waiting.push(bytes);
      return;
    }
    if (this.#upstream.getSendQueueSize() >= egressLimits.datagramBytesQueuedMax) return;
    if (!this.#inPace(bytes)) return;
    this.#sent += bytes.length;
    this.#upstream.send(bytes, () => {}); // what does not fit is lost, as anywhere
  }

  #inPace(bytes: Buffer): boolean {
    return this.#options.sandbox.inPace(this.target, bytes.length);
  }

  async #open(): Promise<void> {
    const { sandbox, target, literal } = this.#options;
    const [address = ''] = await addressesFor(sandbox, target, literal);
    if (this.#ended) return;
    const upstream = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    this.#upstream = upstream;
    upstream.on('error', () => this.#end('upstream failed'));
    upstream.on('message', (bytes) => {
      this.#idle.refresh();
      if (!this.#inPace(bytes)) return;
      this.#received += bytes.length;
      this.#options.answer(bytes);
    });
    // Connected: datagrams of others are dropped by the kernel.
    upstream.connect(target.port, address, () => {
      if (this.#ended) return;
      this.#connected = true;
      for (const bytes of this.#waiting.splice(0)) this.send(bytes);
    });
  }

  #failed(error: unknown): void {
    if (error instanceof UpstreamRefusal) this.#options.deny(error.code, error.rule, error.message);
    this.#end('upstream failed');
  }

  #end(cut?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#idle);
    const { sandbox, target, literal, rule, onEnd } = this.#options;
    this.#upstream?.close();
    sandbox.closed(this);
    onEnd();
    if (this.#sent === 0) return;
    sandbox.emit({
      kind: 'flow',
      sandboxId: sandbox.id,
      at: new Date().toISOString(),
      host: target.host ?? literal,
      port: target.port,
      protocol: 'udp',
      inspected: false,
      rule,
      bytesSent: this.#sent,
      bytesReceived: this.#received,
      durationMs: Date.now() - this.#startedAt,
      ...(cut === undefined ? {} : { cut }),
    });
  }
}
