/** What a flow carries arrives as it was sent, though its buffer is used again, and waits for a reader that is slow. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type OnReadOpts, type Server, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Inflow } from './inflow.ts';
import { Lane } from './lane.ts';

const bytes = 48 * 1024 * 1024;
const block = randomBytes(1_000_003); // no power of two: a chunk that was overwritten shows

function expected(): string {
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= block.length) hash.update(block.subarray(0, left));
  return hash.digest('hex');
}

const servers: Server[] = [];
const sockets: Socket[] = [];

async function listening(onClient: (client: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    sockets.push(client.on('error', () => {}));
    onClient(client);
  });
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return server;
}

function connected(server: Server, options: { readonly onread?: OnReadOpts } = {}): Socket {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port, ...options }).on('error', () => {});
  sockets.push(socket);
  return socket;
}

describe('lane', () => {
  after(() => {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
  });

  it('carries a flow whole to a reader that stops now and then, and holds back what sends it', async () => {
    let sent = 0;
    const source = await listening((client) => {
      const push = (): void => {
        for (let going = true; going && sent < bytes; ) {
          const part = block.subarray(0, bytes - sent);
          sent += part.length;
          going = client.write(part);
        }
        if (sent >= bytes) client.end();
      };
      client.on('drain', push);
      push();
    });
    const proxy = await listening((client) => {
      const inflow = new Inflow();
      const upstream = connected(source, inflow);
      const lane = new Lane(upstream, client, () => 0);
      inflow.take = (chunk) => lane.take(chunk);
      upstream.once('end', () => client.end());
    });
    const reader = connected(proxy);
    await once(reader, 'connect');
    await sleep(300); // nobody reads: what fits into the kernel's buffers is all that may be under way
    assert.ok(sent < bytes, `${sent} bytes were sent to nobody`);
    const hash = createHash('sha256');
    let got = 0;
    for await (const chunk of reader) {
      const before = got;
      got += (chunk as Buffer).length;
      hash.update(chunk as Buffer);
      if (got >> 22 !== before >> 22) await sleep(5);
    }
    assert.deepEqual([got, hash.digest('hex')], [bytes, expected()]);
  });
});
