/** Control's end of the control socket: keeps what it has set, and sets it again when the proxy was restarted. */
import { EventEmitter } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { CasemateError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { EgressAnswer, EgressMethods } from './protocol.ts';
import type { EgressClient, EgressEvent, KernelRefusal, SandboxSettings } from './types.ts';

const reconnectMs = 100;
/** How long a call waits for the proxy to be there. */
const absenceMsMax = 5000;

export class EgressSocketClient implements EgressClient {
  readonly #path: string;
  readonly #log: Log;
  readonly #settings = new Map<string, SandboxSettings>();
  readonly #calls = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #events = new EventEmitter<{ event: [EgressEvent] }>();
  #socket: Socket | undefined;
  #ready = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #number = 0;

  constructor(options: { readonly socketPath: string; readonly log: Log }) {
    this.#path = options.socketPath;
    this.#log = options.log;
    this.#connect();
  }

  async set(settings: SandboxSettings): Promise<{ readonly caCertificate?: string }> {
    await this.#present();
    const result = await this.#call('set', settings);
    this.#settings.set(settings.id, settings);
    return result;
  }

  async remove(id: string): Promise<void> {
    this.#settings.delete(id);
    await this.#present();
    await this.#call('remove', { id });
  }

  async keepOnly(ids: readonly string[]): Promise<void> {
    for (const id of [...this.#settings.keys()]) if (!ids.includes(id)) this.#settings.delete(id);
    await this.#present();
    await this.#call('keepOnly', { ids });
  }

  refused(refusal: KernelRefusal): void {
    if (this.#socket !== undefined) this.#call('refused', refusal).catch(() => {}); // only an event is lost
  }

  onEvent(listener: (event: EgressEvent) => void): void {
    this.#events.on('event', listener);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #connect(): void {
    const socket = connect(this.#path);
    socket.on('error', () => socket.destroy());
    socket.once('connect', () => void this.#connected(socket));
    socket.once('close', () => {
      if (this.#socket === socket) this.#gone();
      if (!this.#closed) this.#timer = setTimeout(() => this.#connect(), reconnectMs);
    });
    createInterface({ input: socket })
      .on('error', () => {}) // told again by the socket's end
      .on('line', (line) => this.#answered(JSON.parse(line) as EgressAnswer));
  }

  /** What was set before comes first; only then may others call. */
  async #connected(socket: Socket): Promise<void> {
    this.#socket = socket;
    for (const settings of [...this.#settings.values()]) {
      await this.#call('set', settings).catch((error: unknown) => {
        if (this.#closed) return;
        this.#log.error('egress_policy_not_set_again', { id: settings.id, reason: String(error) });
      });
    }
    if (this.#socket === socket) this.#ready.resolve();
  }

  #gone(): void {
    this.#socket = undefined;
    this.#ready.resolve();
    this.#ready = Promise.withResolvers();
    for (const call of this.#calls.values()) call.reject(absent());
    this.#calls.clear();
  }

  async #present(): Promise<void> {
    const until = Date.now() + absenceMsMax;
    while (Date.now() < until && !this.#closed) {
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, until - Date.now());
      await Promise.race([this.#ready.promise, late.promise]);
      clearTimeout(timer);
      if (this.#socket !== undefined) return;
    }
    throw absent();
  }

  #call<Method extends keyof EgressMethods>(
    method: Method,
    params: EgressMethods[Method]['params'],
  ): Promise<EgressMethods[Method]['result']> {
    this.#number += 1;
    const call = Promise.withResolvers<unknown>();
    this.#calls.set(this.#number, call);
    this.#socket?.write(`${JSON.stringify({ number: this.#number, method, params })}\n`);
    return call.promise as Promise<EgressMethods[Method]['result']>;
  }

  #answered(answer: EgressAnswer): void {
    if ('event' in answer) return void this.#events.emit('event', answer.event);
    const call = this.#calls.get(answer.number);
    this.#calls.delete(answer.number);
    if ('result' in answer) return call?.resolve(answer.result);
    const { code, message, hint } = answer.error;
    call?.reject(new CasemateError(code, message, { hint }));
  }
}

function absent(): CasemateError {
  return new CasemateError('policy_unenforceable', 'The egress proxy does not run: nothing passes.');
}
