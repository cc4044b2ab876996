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
    return address.kind === 'fifo' ? openFifos(address) : await openSocket(address.path);
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

function openSocket(path: string): Promise<ByteStream> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(pair(socket, socket));
    });
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
