/** Opens the byte stream of a sandbox's agent; the root process only told where it lies. */
import { constants, openSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { CasemateError } from '../base/errors.ts';
import type { AgentStreamAddress } from '../runtime/driver.ts';

export interface ByteStream {
  readonly readable: Readable;
  readonly writable: Writable;
  close(): void;
}

/** @throws CasemateError `sandbox_ended` where there is nothing to open any more. */
export async function openAgentStream(address: AgentStreamAddress): Promise<ByteStream> {
  try {
    if (address.kind === 'fifo') return openFifos(address);
    const socket = await openSocket(address.path);
    if (address.kind === 'vsock') await askForPort(socket, address.port);
    return pair(socket, socket);
  } catch (cause) {
    throw new CasemateError('sandbox_ended', 'The agent’s stream is not there any more.', { cause });
  }
}

/**
 * Reading without writing: when the runtime ends, the last writer is gone and the read end sees the end. The write
 * end is opened read-write, which never blocks.
 */
function openFifos(address: { hostToGuest: string; guestToHost: string }): ByteStream {
  // Plain descriptors, not file handles: the sockets own them from here on.
  const output = openSync(address.guestToHost, constants.O_RDONLY | constants.O_NONBLOCK);
  const input = openSync(address.hostToGuest, constants.O_RDWR | constants.O_NONBLOCK);
  return pair(adopt(output, true), adopt(input, false));
}

/** A pipe as a socket object: non-blocking, read in large pieces, with back-pressure. */
function adopt(fd: number, readable: boolean): Socket {
  return new Socket({ fd, readable, writable: !readable });
}

function openSocket(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}

const answerBytesMax = 32;
const answerMsMax = 10_000;

/**
 * What Firecracker and Cloud Hypervisor want to hear before a socket leads to a port of their machine: `CONNECT <port>`,
 * answered with `OK <number>` (firecracker `docs/vsock.md`). They hang up where nobody listens.
 */
function askForPort(socket: Socket, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      for (const event of ['readable', 'close', 'error'] as const) socket.removeAllListeners(event);
      if (error === undefined) return resolve();
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => settle(new Error('the machine did not answer in time')), answerMsMax);
    socket.once('error', settle);
    socket.once('close', () => settle(new Error('nobody listens in the machine')));
    socket.on('readable', () => {
      // One by one: what follows the line is the agent's.
      for (let byte = socket.read(1); byte !== null; byte = socket.read(1)) {
        answer += String(byte);
        if (answer.endsWith('\n'))
          return settle(/^OK \d+\n$/.test(answer) ? undefined : new Error('the machine refused'));
        if (answer.length >= answerBytesMax) return settle(new Error('the machine did not say OK'));
      }
    });
    socket.write(`CONNECT ${port}\n`);
  });
}

function pair(readable: Socket, writable: Socket): ByteStream {
  return {
    readable,
    writable,
    close: () => {
      readable.destroy();
      writable.destroy();
    },
  };
}
