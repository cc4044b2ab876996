/** Asks a monitor whether somebody listens in its machine. The root process reads no more than the monitor's "OK". */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentVsockPort } from './vmm.ts';

const retryMs = 20;
const answerBytesMax = 32;
const answerMsMax = 10_000;

/** Resolves when the agent listens. @throws Error after `timeoutMs` */
export async function untilAgentListens(socketPath: string, timeoutMs: number): Promise<void> {
  for (const until = Date.now() + timeoutMs; Date.now() < until; await sleep(retryMs))
    if (await listens(socketPath)) return;
  throw new Error(`its agent did not listen within ${timeoutMs} ms`);
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    let answer = '';
    const settle = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(answerMsMax, () => settle(false));
    socket.on('error', () => settle(false)).on('close', () => settle(false));
    socket.on('data', (piece: Buffer) => {
      answer += piece.toString('latin1');
      if (answer.includes('\n') || answer.length > answerBytesMax) settle(/^OK \d+\n/.test(answer));
    });
    socket.write(`CONNECT ${agentVsockPort}\n`);
  });
}
