/** A policy that cannot be enforced: without the right to install the network's rules no server and no sandbox starts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../src/base/child.ts';
import { newId } from '../../src/base/ids.ts';
import { missingForRange } from './egress/range.ts';

const module = fileURLToPath(new URL('../../src/network/namespace.ts', import.meta.url));

describe('a policy that cannot be enforced', { skip: missingForRange() ?? false }, () => {
  /** Opens a gate as the root process does at its start, in a process that lacks a right. */
  const openGate = async (without: readonly string[]): Promise<string> => {
    const program = `
import { SandboxNetworks } from ${JSON.stringify(module)};
const networks = new SandboxNetworks(${JSON.stringify(newId(6))});
await networks.openGate().then(() => console.log('opened'), (error) => console.log(error.code, error.message));
await networks.closeGate();`;
    const node = [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      program,
    ];
    const { stdout } = await runCommand([...without, ...node]);
    return stdout.trim();
  };

  it('remove the capability, and the gate does not open: fails closed, in words', async () => {
    const without = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'];
    assert.match(await openGate(without), /^policy_unenforceable The network rules of the gate/);
    assert.equal(await openGate([]), 'opened');
  });
});
