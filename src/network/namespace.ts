/** A network namespace per sandbox, joined by one veth to a gate namespace that refuses and records everything. */
import { existsSync, readdirSync } from 'node:fs';
import { runCommand } from '../base/child.ts';
import { CasemateError } from '../base/errors.ts';
import { denialTable } from './denials.ts';

const namespaceFolder = '/run/netns';
/** Links of 4 addresses each out of 10.200.0.0/16. */
const linksMax = 16_384;

/** Forwarding makes the kernel answer "unreachable" at all; without a rate limit it answers every time, not once a second. */
const gateSettings = [
  'net.ipv4.ip_forward=1',
  'net.ipv4.icmp_ratelimit=0',
  'net.ipv6.conf.all.disable_ipv6=1',
  'net.ipv4.conf.all.rp_filter=1',
  'net.ipv4.conf.default.rp_filter=1',
  'net.ipv4.ip_unprivileged_port_start=0', // the proxy's opener has no rights
];
/** Where the proxy answers DNS and tells the policy; the same in every sandbox, so that snapshots may hold it. */
const serviceAddress = '198.18.0.1';

/**
 * Every address but those of the links is the gate's own: a connection to any address ends at the proxy's listener, which
 * sees where it was meant to go. The complement of 10.200.0.0/16, one route for each bit of its prefix.
 */
function localRoutes(): string[] {
  const links = (10 << 24) | (200 << 16);
  return Array.from({ length: 16 }, (_, index) => {
    const prefix = index + 1;
    const value = ((links ^ (1 << (32 - prefix))) >>> (32 - prefix)) << (32 - prefix);
    const address = [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
    return `route replace local ${address}/${prefix} dev lo`;
  });
}

/** Where one sandbox's link lies. The addresses mean nothing outside of the gate. */
export interface SandboxLink {
  readonly namespace: string;
  /** The gate's end of the link. */
  readonly gateInterface: string;
  readonly gateAddress: string;
  readonly sandboxAddress: string;
}

/**
 * All sandbox links of one data directory. The gate has no route to anywhere: not to the host, not between sandboxes.
 * The egress proxy has its listeners in it; what they do not take is refused.
 */
export class SandboxNetworks {
  readonly #tag: string;
  readonly gate: string;

  /** @param tag six characters that tell this data directory's namespaces from others'. */
  constructor(tag: string) {
    this.#tag = tag;
    this.gate = `cm-${tag}-gate`;
  }

  namespaceOf(id: string): string {
    return `cm-${this.#tag}-${id}`;
  }

  /**
   * Makes the gate with its rules. Idempotent.
   * @throws CasemateError `policy_unenforceable` where the rules cannot be installed: then no sandbox starts.
   */
  async openGate(): Promise<void> {
    try {
      if (!existsSync(`${namespaceFolder}/${this.gate}`)) {
        await runCommand(['ip', 'netns', 'add', this.gate]);
      }
      const inGate = ['ip', 'netns', 'exec', this.gate];
      await runCommand([...inGate, 'sysctl', '-q', '-w', ...gateSettings]);
      await runCommand([...inGate, 'nft', '-f', '-'], { input: denialTable });
      await runCommand(['ip', '-n', this.gate, '-batch', '-'], {
        input: ['link set lo up', `addr replace ${serviceAddress}/32 dev lo`, ...localRoutes(), ''].join(
          '\n',
        ),
      });
    } catch (cause) {
      throw new CasemateError(
        'policy_unenforceable',
        'The network rules of the gate could not be installed.',
        { cause },
      );
    }
  }

  linkOf(id: string, index: number): SandboxLink {
    if (index < 0 || index >= linksMax) throw new RangeError(`network index ${index}`);
    const third = Math.floor(index / 64);
    const fourth = (index % 64) * 4;
    return {
      namespace: this.namespaceOf(id),
      gateInterface: `cm${id.slice(0, 12)}`,
      gateAddress: `10.200.${third}.${fourth + 1}`,
      sandboxAddress: `10.200.${third}.${fourth + 2}`,
    };
  }

  /** Makes the namespace and its link: the only way out leads to the gate. */
  async create(id: string, index: number): Promise<SandboxLink> {
    const link = this.linkOf(id, index);
    await runCommand(['ip', '-batch', '-'], {
      input: [
        `netns add ${link.namespace}`,
        `link add ${link.gateInterface} netns ${this.gate} type veth peer name eth0 netns ${link.namespace}`,
        '',
      ].join('\n'),
    });
    await Promise.all([
      runCommand(['ip', '-n', this.gate, '-batch', '-'], {
        input: `addr add ${link.gateAddress}/30 dev ${link.gateInterface}\nlink set ${link.gateInterface} up\n`,
      }),
      runCommand(['ip', '-n', link.namespace, '-batch', '-'], {
        input: [
          'link set lo up',
          `addr add ${link.sandboxAddress}/30 dev eth0`,
          'link set eth0 up',
          `route add default via ${link.gateAddress}`,
          '',
        ].join('\n'),
      }),
    ]);
    return link;
  }

  /** Removes the namespace and both ends of its link. Idempotent. */
  async destroy(id: string): Promise<void> {
    const { namespace, gateInterface } = this.linkOf(id, 0);
    await runCommand(['ip', '-n', this.gate, 'link', 'del', gateInterface]).catch(() => {}); // gone with its peer
    if (existsSync(`${namespaceFolder}/${namespace}`)) await runCommand(['ip', 'netns', 'del', namespace]);
  }

  /** Ids that still have a namespace. */
  list(): string[] {
    if (!existsSync(namespaceFolder)) return [];
    const prefix = `cm-${this.#tag}-`;
    return readdirSync(namespaceFolder)
      .filter((name) => name.startsWith(prefix) && name !== this.gate)
      .map((name) => name.slice(prefix.length));
  }

  /** Takes the gate away; for the end of a data directory that has no sandboxes left. */
  async closeGate(): Promise<void> {
    if (existsSync(`${namespaceFolder}/${this.gate}`)) await runCommand(['ip', 'netns', 'del', this.gate]);
  }
}
