/** Ctrl-C and its kin: they belong to the program in the sandbox, and the sandbox has to be cleaned up after them. */
import type { SandboxProcess, Signal } from '../../sdk/typescript/src/index.ts';

const relayed = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

export interface SignalRelay {
  /** From now on signals go to this program; the second one of a kind kills it. */
  to(child: SandboxProcess): void;
  /** The exit code that a signal asks for which came before there was a program. */
  exitCode(): number | undefined;
  stop(): void;
}

export function relaySignals(): SignalRelay {
  let target: SandboxProcess | undefined;
  const received: Signal[] = [];
  const onSignal = (name: NodeJS.Signals): void => {
    const signal = name as keyof typeof relayed;
    const wanted = received.includes(signal) ? 'SIGKILL' : signal;
    received.push(signal);
    void target?.kill(wanted).catch(() => {}); // it has ended
  };
  for (const name of Object.keys(relayed)) process.on(name, onSignal);
  return {
    to: (child) => {
      target = child;
    },
    exitCode: () => {
      const first = received[0] as keyof typeof relayed | undefined;
      return first === undefined ? undefined : 128 + relayed[first];
    },
    stop: () => {
      for (const name of Object.keys(relayed)) process.off(name, onSignal);
    },
  };
}
