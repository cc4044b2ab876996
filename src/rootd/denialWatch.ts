/** Tells the server every second or so which places its sandboxes tried to reach and were refused. */
import type { Log } from '../base/log.ts';
import { takeDenials } from '../network/denials.ts';
import type { Instances } from './instances.ts';
import type { RootAnswer } from './protocol.ts';

const intervalMs = 1500;

/** Starts watching; the returned function stops it after a last look. */
export function watchDenials(options: {
  readonly gate: string;
  readonly instances: Instances;
  readonly send: (answer: RootAnswer) => void;
  readonly log: Log;
}): () => Promise<void> {
  const { gate, instances, send, log } = options;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const look = async (): Promise<void> => {
    if (instances.running().length === 0) return; // nobody is there who could be refused
    try {
      for (const { gateInterface, address, protocol, port } of await takeDenials(gate)) {
        const id = instances.ofGateInterface(gateInterface);
        if (id !== undefined) send({ event: 'denied', id, address, protocol, port });
      }
    } catch (error) {
      log.warn('denials_unread', { reason: String(error) });
    }
  };
  const next = (): void => {
    timer = setTimeout(() => {
      void look().finally(() => {
        if (!stopped) next();
      });
    }, intervalMs);
  };
  next();
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await look();
  };
}
