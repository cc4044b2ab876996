/** TCP into a sandbox: a local port that forwards to one inside. */
import type { AddressInfo, Socket } from 'node:net';
import { CasemateError } from './errors.ts';
import type { Transport } from './transport.ts';

/** A local listener; closing it ends its connections. */
export interface PortForward extends AsyncDisposable {
  readonly port: number;
  /** For a server inside that speaks HTTP. */
  readonly url: string;
  close(): Promise<void>;
}

export interface Preview {
  readonly url: string;
  /** ISO 8601, UTC; none where everybody may visit. */
  readonly expiresAt?: string;
}

/** Node's and Bun's constructor take headers; the web's does not. */
type WebSocketWithHeaders = new (url: string, options: { headers: Record<string, string> }) => WebSocket;

export class Ports {
  readonly #transport: Transport;
  readonly #path: string;

  /** @internal */
  constructor(transport: Transport, sandboxPath: string) {
    this.#transport = transport;
    this.#path = `${sandboxPath}/ports`;
  }

  /**
   * Listens on a loopback port of this machine and forwards each connection to `port` inside the sandbox.
   *
   * @example
   * await using forward = await sbx.ports.forward(8000)
   * await fetch(`${forward.url}/health`)
   */
  async forward(port: number, options: { localPort?: number } = {}): Promise<PortForward> {
    const { createServer } = await import('node:net');
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      this.#tunnel(port, socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.localPort ?? 0, '127.0.0.1', resolve);
    });
    const localPort = (server.address() as AddressInfo).port;
    const close = async (): Promise<void> => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    };
    return { port: localPort, url: `http://127.0.0.1:${localPort}`, close, [Symbol.asyncDispose]: close };
  }

  /**
   * A URL that opens `port` to whoever has it, a browser too, until it runs out or the sandbox ends.
   *
   * @param options.expiresInMs an hour by default, a week at most.
   * @throws CasemateError `unsupported` where the server has no domain and is not on this machine.
   * @example
   * const { url } = await sbx.ports.preview(3000, { expiresInMs: 600_000 })
   */
  async preview(port: number, options: { expiresInMs?: number } = {}): Promise<Preview> {
    return this.#transport.json('POST', `${this.#path}/${port}/preview`, { json: options });
  }

  /** Lets everybody visit `port`, without a token. */
  async publish(port: number): Promise<Preview> {
    return this.#transport.json('PUT', `${this.#path}/${port}/public`);
  }

  /** Lets nobody visit `port` without a token again. */
  async unpublish(port: number): Promise<void> {
    await this.#transport.done('DELETE', `${this.#path}/${port}/public`);
  }

  #tunnel(port: number, socket: Socket): void {
    const url = `${this.#transport.url.replace(/^http/, 'ws')}${this.#path}/${port}/tunnel`;
    const Constructor = WebSocket as unknown as WebSocketWithHeaders;
    const tunnel = new Constructor(url, { headers: { authorization: `Bearer ${this.#transport.apiKey}` } });
    tunnel.binaryType = 'arraybuffer';
    socket.pause();
    tunnel.onopen = () => socket.resume();
    tunnel.onmessage = (event: { data: unknown }) =>
      void socket.write(new Uint8Array(event.data as ArrayBuffer));
    tunnel.onclose = () => socket.end();
    tunnel.onerror = () =>
      socket.destroy(new CasemateError('port_unreachable', `Port ${port} of the sandbox does not answer.`));
    socket.on('data', (data) => {
      tunnel.send(new Uint8Array(data));
      if (tunnel.bufferedAmount < 1024 * 1024) return;
      socket.pause(); // WebSocket has no event for "drained": look again shortly
      const look = (): void => {
        if (tunnel.bufferedAmount < 256 * 1024) socket.resume();
        else setTimeout(look, 5);
      };
      look();
    });
    socket.on('end', () => tunnel.close());
    socket.on('close', () => tunnel.close());
  }
}
