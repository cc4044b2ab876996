/** Joins a machine's tap to the network namespace of its sandbox. */
import { runCommand } from '../../base/child.ts';

/**
 * Every machine has the address 10.199.0.2 inside; outside it speaks with the address that its namespace was given.
 * Nothing of the guest's ends in the namespace itself.
 */
const rules = `
table inet casemate-machine {
  chain out { type nat hook postrouting priority srcnat; oifname "eth0" masquerade; }
  chain in { type filter hook input priority filter; iifname "tap0" ip protocol != icmp drop; }
}
`;

const script = `
echo 1 > /proc/sys/net/ipv4/ip_forward
nft -f -
`;

/** The same for each: what a machine out of a snapshot remembers of its neighbour stays true. */
const tapMac = '02:00:00:00:00:01';

/** What does not need the machine; may run while it starts. */
export async function prepareNetwork(namespace: string): Promise<void> {
  await runCommand(['nsenter', `--net=/run/netns/${namespace}`, 'sh', '-ec', script], { input: rules });
}

/** @param pid QEMU, in whose namespace the tap still lies, opened. */
export async function moveTap(pid: number, namespace: string): Promise<void> {
  await runCommand(['nsenter', `--net=/proc/${pid}/ns/net`, 'ip', 'link', 'set', 'tap0', 'netns', namespace]);
  await runCommand(['ip', '-n', namespace, '-batch', '-'], {
    input: `link set tap0 address ${tapMac}\naddr add 10.199.0.1/30 dev tap0\nlink set tap0 up\n`,
  });
}
