/** A real server that stands in the namespace of the tests' host: its names, and its way out, are those of the world. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../../src/base/child.ts';
import { type ServerOptions, startServer, type TestServer } from '../server.ts';
import { World } from './outside.ts';

/** Mounts the namespace's resolv.conf in a mount namespace of its own; `ip netns exec` would take /sys away. */
const enter =
  'mount --bind "$1" /etc/resolv.conf && net="$2" && shift 2 && exec nsenter --net="$net" -- "$@"';

export class WorldServer extends World {
  readonly #device = `eg${this.tag}`;
  readonly #third = Math.floor(Math.random() * 250);
  /** The test's end of the line to the API: not part of what is captured. */
  readonly testAddress = `10.97.${this.#third}.1`;
  #server: TestServer | undefined;

  get server(): TestServer {
    if (this.#server === undefined) throw new Error('the server was not started');
    return this.#server;
  }

  /** The namespace in which all links end. */
  get gate(): string {
    return `cm-${readFileSync(join(this.server.dataDir, 'instance'), 'utf8').trim()}-gate`;
  }

  async start(options: ServerOptions = {}): Promise<void> {
    await this.open();
    const address = `10.97.${this.#third}.2`;
    await runCommand(['ip', '-batch', '-'], {
      input: [
        `link add ${this.#device} type veth peer name api netns ${this.host}`,
        `addr add ${this.testAddress}/30 dev ${this.#device}`,
        `link set ${this.#device} up`,
        '',
      ].join('\n'),
    });
    await runCommand(['ip', '-n', this.host, '-batch', '-'], {
      input: `addr add ${address}/30 dev api\nlink set api up\n`,
    });
    const resolver = `/etc/netns/${this.host}/resolv.conf`;
    const launcher = [
      'unshare',
      '--mount',
      'bash',
      '-c',
      enter,
      'enter',
      resolver,
      `/run/netns/${this.host}`,
    ];
    this.#server = await startServer({
      ...options,
      launcher,
      env: { NODE_EXTRA_CA_CERTS: this.worldCertificate },
      flags: ['--host', address, ...(options.flags ?? [])],
    });
  }

  override async close(): Promise<void> {
    const gate = this.#server && `/run/netns/${this.gate}`;
    await this.#server?.close();
    await runCommand(['ip', 'link', 'del', this.#device]).catch(() => {}); // it was never made
    if (gate !== undefined) rmSync(gate, { force: true }); // the server's mount namespace is gone, and the gate with it
    await super.close();
  }
}
