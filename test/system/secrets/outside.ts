/** A server outside of everything, with a real name and TLS, that tells what arrives: for tests of the whole product. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface Arrived {
  readonly host: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** @param names lead to it; it speaks TLS on 443 for each of them, and HTTP on 80. */
export class Outside {
  readonly arrived: Arrived[] = [];
  /** For `ServerOptions.launcher`: the server sees the names in its /etc/hosts. */
  readonly launcher: readonly string[];
  /** The certificate that the proxy has to trust. */
  readonly certificate: string;
  readonly #directory = mkdtempSync(join(tmpdir(), 'casemate-outside-'));
  readonly #namespace = `cmo-${process.pid}`;
  readonly #child: ChildProcess;
  readonly #ready = Promise.withResolvers<void>();

  /** @param kind whether its address is one that no sandbox reaches by a rule of its own. */
  constructor(names: readonly string[], kind: 'private' | 'public' = 'private') {
    const device = `cmo${process.pid}`;
    const network = `${kind === 'private' ? '10.79' : '44.79'}.${process.pid % 250}`; // two tests may run at once
    const address = `${network}.2`;
    const ip = (...args: string[]): unknown => execFileSync('ip', args);
    ip('netns', 'add', this.#namespace);
    ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'w0', 'netns', this.#namespace);
    ip('addr', 'add', `${network}.1/24`, 'dev', device);
    ip('link', 'set', device, 'up');
    ip('-n', this.#namespace, 'addr', 'add', `${address}/24`, 'dev', 'w0');
    ip('-n', this.#namespace, 'link', 'set', 'w0', 'up');
    chmodSync(this.#directory, 0o755); // the proxy reads the certificate without rights
    const hosts = join(this.#directory, 'hosts');
    const absolute = names.map((name) => `${name}.`); // the proxy asks so, to stay out of search domains
    writeFileSync(hosts, `127.0.0.1 localhost\n${address} ${absolute.join(' ')}\n`);
    const mount = 'mount --bind "$0" /etc/hosts && exec "$@"';
    this.launcher = ['unshare', '--mount', 'sh', '-c', mount, hosts];
    this.certificate = join(this.#directory, 'outside.pem');
    const program = fileURLToPath(new URL('./outsideServer.ts', import.meta.url));
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', program, this.#directory];
    this.#child = spawn('ip', ['netns', 'exec', this.#namespace, ...node], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (this.#child.stdout === null) throw new Error('the outside has no stdout');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { certificate, ...arrived } = JSON.parse(line) as Arrived & { certificate?: string };
      if (certificate === undefined) return void this.arrived.push(arrived);
      writeFileSync(this.certificate, certificate);
      this.#ready.resolve();
    });
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  close(): void {
    this.#child.kill('SIGKILL');
    execFileSync('ip', ['netns', 'del', this.#namespace]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
