/** As much of VNC's protocol (RFC 6143) as shows what a server offers and what is on its screen, over a WebSocket. */
import { setTimeout as sleep } from 'node:timers/promises';

interface Screen {
  readonly width: number;
  readonly height: number;
  /** The uppermost lines, as the server's own pixels. */
  readonly pixels: Buffer;
}

/** The kinds of security that the server offers: 1 is none, 2 a password. */
export async function vncSecurity(host: string): Promise<number[]> {
  const talk = await begin(host);
  talk.close();
  return talk.kinds;
}

/** What is on a screen that asks for no password. */
export async function vncScreen(host: string): Promise<Screen> {
  const { take, say, close } = await begin(host);
  say([1]);
  const result = (await take(4)).readUInt32BE(0);
  if (result !== 0) throw new Error(`the server refused with ${result}`);
  say([1]); // others may look as well
  const init = await take(24);
  await take(init.readUInt32BE(20)); // the desktop's name
  const [width, height, lines] = [init.readUInt16BE(0), init.readUInt16BE(2), 64];
  say([2, 0, 0, 1, 0, 0, 0, 0]); // pixels as they are: the raw encoding alone
  say([3, 0, 0, 0, 0, 0, width >> 8, width & 255, 0, lines]);
  const update = await take(16);
  const size = update.readUInt16BE(8) * update.readUInt16BE(10) * ((init[4] ?? 0) / 8);
  const pixels = await take(size);
  close();
  return { width, height, pixels };
}

interface Talk {
  readonly kinds: number[];
  take(bytes: number): Promise<Buffer>;
  say(bytes: readonly number[] | Buffer): void;
  close(): void;
}

/** The protocol's versions, then the server's kinds of security. */
async function begin(host: string): Promise<Talk> {
  const socket = new WebSocket(`wss://${host}/websockify`, 'binary');
  socket.binaryType = 'arraybuffer';
  let heard = Buffer.alloc(0);
  socket.addEventListener('message', ({ data }) => {
    heard = Buffer.concat([heard, Buffer.from(data as ArrayBuffer)]);
  });
  const take = async (bytes: number): Promise<Buffer> => {
    for (let round = 0; heard.length < bytes; round += 1) {
      if (round === 300) throw new Error(`the server sent ${heard.length} of ${bytes} bytes`);
      await sleep(100);
    }
    const taken = heard.subarray(0, bytes);
    heard = heard.subarray(bytes);
    return taken;
  };
  const say = (bytes: readonly number[] | Buffer): void => socket.send(Buffer.from(bytes));
  const greeting = (await take(12)).toString();
  if (greeting !== 'RFB 003.008\n') throw new Error(`not VNC: ${greeting}`);
  say(Buffer.from(greeting));
  const count = (await take(1))[0] ?? 0;
  return { kinds: [...(await take(count))], take, say, close: () => socket.close() };
}
