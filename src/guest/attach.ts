/** Opens the stream to a sandbox's agent and says hello: what is behind an address is there when this resolves. */
import { setTimeout as sleep } from 'node:timers/promises';
import { CasemateError } from '../base/errors.ts';
import type { AgentStreamAddress } from '../runtime/driver.ts';
import { GuestClient } from './client.ts';
import { openAgentStream } from './stream.ts';

/**
 * A restored machine's kernel resets its vsock connections when it comes to it, a moment after it goes on (virtio 1.2,
 * 5.10.6.7), and with them one that was made before that moment.
 */
const vsockTries = 40;
const retryMs = 50;

/** @throws CasemateError `sandbox_ended` where nobody answers any more. */
export async function attachAgent(address: AgentStreamAddress): Promise<GuestClient> {
  for (let round = 1; ; round += 1) {
    try {
      return await GuestClient.attach(await openAgentStream(address));
    } catch (error) {
      const mayCome = address.kind === 'vsock' && CasemateError.from(error).code === 'sandbox_ended';
      if (!mayCome || round >= vsockTries) throw error;
      await sleep(retryMs);
    }
  }
}
