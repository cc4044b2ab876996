/** The server's end of the socket to the small root process: requests, progress, denials. */
import { EventEmitter } from 'node:events';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { CasemateError } from '../base/errors.ts';
import type { RootAnswer, RootMethod, RootMethods, RootProgress } from '../rootd/protocol.ts';

interface Waiting {
  resolve(result: unknown): void;
  reject(error: CasemateError): void;
  progress?: ((progress: RootProgress) => void) | undefined;
}

export interface Refusal {
  readonly id: string;
  readonly address: string;
  readonly protocol: string;
  readonly port: number;
}

/** Events: `denied` with a Refusal, `end` when the root process is gone. */
export class RootClient extends EventEmitter<{ denied: [Refusal]; end: [] }> {
  readonly #socket: Duplex;
  readonly #waiting = new Map<number, Waiting>();
  #number = 0;

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
    const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY });
    lines.on('line', (line) => this.#take(JSON.parse(line) as RootAnswer));
    lines.on('close', () => this.#end());
  }

  /** @throws CasemateError as the root process answered it, or `node_unavailable` when it is gone. */
  call<Method extends RootMethod>(
    method: Method,
    params: RootMethods[Method]['params'],
    progress?: (progress: RootProgress) => void,
  ): Promise<RootMethods[Method]['result']> {
    return new Promise((resolve, reject) => {
      if (!this.#socket.writable) return reject(unavailable());
      this.#number += 1;
      const settle = (result: unknown): void => resolve(result as RootMethods[Method]['result']);
      this.#waiting.set(this.#number, { resolve: settle, reject, progress });
      this.#socket.write(`${JSON.stringify({ number: this.#number, method, params })}\n`);
    });
  }

  #take(answer: RootAnswer): void {
    if ('event' in answer) {
      const { id, address, protocol, port } = answer;
      this.emit('denied', { id, address, protocol, port });
      return;
    }
    const waiting = this.#waiting.get(answer.number);
    if ('progress' in answer) return waiting?.progress?.(answer.progress);
    this.#waiting.delete(answer.number);
    if ('error' in answer) waiting?.reject(new CasemateError(answer.error.code, answer.error.message));
    else waiting?.resolve(answer.result);
  }

  #end(): void {
    for (const waiting of this.#waiting.values()) waiting.reject(unavailable());
    this.#waiting.clear();
    this.emit('end');
  }

  /** Ends the connection; the root process goes on. */
  close(): void {
    this.#socket.destroy();
  }
}

function unavailable(): CasemateError {
  return new CasemateError('node_unavailable', 'The root process of this node is not there.');
}
