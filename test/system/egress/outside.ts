/** The outside of the egress tests: a namespace that stands for the host, another one for the world, and captures. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../../src/base/child.ts';
import { newId } from '../../../src/base/ids.ts';

export class World {
  readonly tag = newId(6);
  readonly host = `egh-${this.tag}`;
  readonly world = `egw-${this.tag}`;
  readonly directory = mkdtempSync(join(tmpdir(), 'casemate-egress-'));
  /** What arrived in the world. */
  readonly arrived: Record<string, unknown>[] = [];
  #worldProcess: ChildProcess | undefined;
  readonly #captures: ChildProcess[] = [];
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
    this.resolver(this.host, '5.5.0.2');
    await this.#startWorld();
  }

  /** What programs in a namespace ask for names. */
  resolver(namespace: string, address: string): void {
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

  /**
   * Captures on a namespace's interface (`any` for all) until the returned function is called; it answers the packets.
   * @param mountsOf a process in whose mounts the namespace has its name.
   */
  async capture(
    namespace: string,
    device: string,
    filter: readonly string[],
    mountsOf?: number,
  ): Promise<() => Promise<string[]>> {
    const inside = ['ip', 'netns', 'exec', namespace, ...tcpdump, device, ...filter];
    const mounts = mountsOf === undefined ? [] : ['nsenter', '-t', String(mountsOf), '-m'];
    const [program = '', ...rest] = [...mounts, ...inside];
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
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
    for (const child of [this.#worldProcess, ...this.#captures]) await endChild(child);
    for (const namespace of [this.host, this.world]) {
      await runCommand(['ip', 'netns', 'del', namespace]).catch(() => {}); // it was never made
      rmSync(`/etc/netns/${namespace}`, { recursive: true, force: true });
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const tcpdump = ['tcpdump', '-U', '-l', '-n', '-i'];

export async function endChild(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
