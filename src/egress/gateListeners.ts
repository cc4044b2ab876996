/** The proxy's listening sockets: they lie in the gate's namespace, while the proxy itself stands in the host's. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket as DatagramSocket } from 'node:dgram';
import { Server } from 'node:net';
import { fileURLToPath } from 'node:url';
import { CasemateError } from '../base/errors.ts';
import { egressLimits } from './limits.ts';
import type { OpenRequest } from './opener.ts';

export interface GateListenersOptions {
  /** A name under /run/netns. */
  readonly gate: string;
  readonly user: { readonly uid: number; readonly gid: number };
  readonly onServer: (server: Server) => void;
  readonly onDns: (socket: DatagramSocket) => void;
  /** The opener has ended: no port can be opened any more. */
  readonly onEnd: () => void;
}

export class GateListeners {
  readonly #options: GateListenersOptions;
  readonly #child: ChildProcess;
  readonly #ports = new Map<string, PromiseWithResolvers<void>>();
  readonly #onDatagrams = new Map<string, (socket: DatagramSocket) => void>();

  /** Has to be made while the process is root: entering a namespace needs it. The opener drops its rights itself. */
  constructor(options: GateListenersOptions) {
    this.#options = options;
    const { gate, user } = options;
    const opener = fileURLToPath(new URL('./opener.ts', import.meta.url));
    const argv = ['nsenter', `--net=/run/netns/${gate}`, 'setpriv', '--no-new-privs', process.execPath];
    argv.push('--disable-warning=ExperimentalWarning', opener, String(user.uid), String(user.gid));
    const [program = '', ...args] = argv;
    this.#child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child.on('message', (message, handle) =>
      this.#opened(message as OpenRequest & { error?: string }, handle),
    );
    this.#child.on('error', options.onEnd);
    this.#child.on('exit', options.onEnd);
  }

  async openDns(): Promise<void> {
    await this.#open({ kind: 'udp', port: 53 });
  }

  /** Resolves when all of them are listened on. @throws CasemateError `policy_unenforceable` */
  async listenOn(ports: readonly number[]): Promise<void> {
    await Promise.all(ports.map((port) => this.#open({ kind: 'tcp', port })));
  }

  /** A socket for UDP at one address, until the caller closes it. @throws CasemateError `policy_unenforceable` */
  async openUdp(address: string, port: number): Promise<DatagramSocket> {
    const request: OpenRequest = { kind: 'udp', port, address };
    const key = keyOf(request);
    const taken = Promise.withResolvers<DatagramSocket>();
    this.#onDatagrams.set(key, taken.resolve);
    try {
      await this.#open(request);
      return await taken.promise;
    } finally {
      this.#onDatagrams.delete(key);
      this.#ports.delete(key);
    }
  }

  #open(request: OpenRequest): Promise<void> {
    const key = keyOf(request);
    const known = this.#ports.get(key);
    if (known !== undefined) return known.promise;
    if (this.#ports.size >= egressLimits.portsMax) {
      return Promise.reject(
        new CasemateError('policy_unenforceable', 'The policies of this host name too many different ports.'),
      );
    }
    const opening = Promise.withResolvers<void>();
    this.#ports.set(key, opening);
    const timer = setTimeout(() => opening.reject(notOpened(request, 'timeout')), egressLimits.listenMsMax);
    opening.promise.finally(() => clearTimeout(timer)).catch(() => this.#ports.delete(key));
    this.#child.send(request, (error) => {
      if (error !== null) opening.reject(notOpened(request, error.message));
    });
    return opening.promise;
  }

  #opened(message: OpenRequest & { error?: string }, handle: unknown): void {
    const key = keyOf(message);
    const opening = this.#ports.get(key);
    if (message.error !== undefined) return opening?.reject(notOpened(message, message.error));
    if (message.kind === 'udp') {
      const socket = handle as DatagramSocket;
      const late = (): unknown => socket.close();
      const take = this.#onDatagrams.get(key) ?? (message.address === undefined ? this.#options.onDns : late);
      take(socket);
    } else if (handle instanceof Server) this.#options.onServer(prepared(handle));
    opening?.resolve();
  }
}

function keyOf({ kind, port, address }: OpenRequest): string {
  return `${kind} ${port} ${address ?? ''}`;
}

/** A server that came as a handle has Node's defaults; a program may end its side and still read. */
function prepared(server: Server): Server {
  return Object.assign(server, { allowHalfOpen: true, noDelay: true });
}

function notOpened(request: OpenRequest, reason: string): CasemateError {
  const what = `${request.kind} port ${request.port}${request.address === undefined ? '' : ` of ${request.address}`}`;
  return new CasemateError('policy_unenforceable', `The gate could not listen on ${what}: ${reason}.`);
}
