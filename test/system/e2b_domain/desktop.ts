/** A desktop as a team on E2B uses it: everything that the SDK of desktops calls, and its stream over TLS. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Sandbox } from '@e2b/desktop';

const desktop = await Sandbox.create({ resolution: [1024, 768], dpi: 96, timeoutMs: 600_000 });
try {
  await screen();
  await mouse();
  await windows();
  await stream();
} finally {
  await desktop.kill();
}
console.log('all found');
process.exit(0); // the SDK keeps connections for its next call

async function screen(): Promise<void> {
  assert.deepEqual(await desktop.getScreenSize(), { width: 1024, height: 768 });
  const picture = Buffer.from(await desktop.screenshot());
  assert.equal(picture.subarray(1, 4).toString(), 'PNG');
  assert.deepEqual([picture.readUInt32BE(16), picture.readUInt32BE(20)], [1024, 768]);
  assert.ok((await desktop.screenshot('blob')).size > 1000);
}

async function mouse(): Promise<void> {
  await desktop.moveMouse(300, 400);
  assert.deepEqual(await desktop.getCursorPosition(), { x: 300, y: 400 });
  await desktop.leftClick(310, 410);
  await desktop.doubleClick();
  await desktop.rightClick();
  await desktop.press('esc');
  await desktop.middleClick();
  await desktop.press('esc');
  await desktop.scroll('up', 2);
  await desktop.mousePress('left');
  await desktop.mouseRelease('left');
  await desktop.drag([320, 420], [330, 430]);
  assert.deepEqual(await desktop.getCursorPosition(), { x: 330, y: 430 });
}

/** An editor: what is typed into it and saved is what the file holds. */
async function windows(): Promise<void> {
  await desktop.files.write('/home/user/notes.txt', '');
  await desktop.open('/home/user/notes.txt');
  const [window = ''] = await found('mousepad');
  await until(async () => (await desktop.getWindowTitle(window)).includes('notes.txt'));
  await desktop.commands.run(`xdotool windowactivate --sync ${window}`);
  assert.match(await desktop.getWindowTitle(await desktop.getCurrentWindowId()), /notes\.txt/);
  await desktop.write("It's typed: $HOME");
  await desktop.press(['ctrl', 's']);
  await until(async () => (await desktop.files.read('/home/user/notes.txt')) === "It's typed: $HOME");
  await desktop.launch('xfce4-terminal');
  await found('xfce4-terminal');
}

async function found(application: string): Promise<string[]> {
  let ids: string[] = [];
  await until(async () => {
    ids = await desktop.getApplicationWindows(application).catch(() => []);
    return ids.length > 0;
  });
  return ids;
}

async function stream(): Promise<void> {
  await desktop.stream.start({ requireAuth: true });
  const url = new URL(desktop.stream.getUrl({ authKey: desktop.stream.getAuthKey(), viewOnly: true }));
  assert.equal(url.searchParams.get('password'), desktop.stream.getAuthKey());
  assert.match(await (await fetch(url)).text(), /noVNC/);
  const [greeting = '', security = ''] = await vncHandshake(url.host);
  assert.equal(greeting, 'RFB 003.008\n');
  assert.equal(security, '\x01\x02', 'one kind of security: a password');
  await desktop.stream.stop();
  await desktop.stream.start({ requireAuth: false });
  assert.equal((await vncHandshake(url.host))[1], '\x01\x01', 'no password where none was asked for');
  await desktop.stream.stop();
}

/** What noVNC does first: a WebSocket, then the versions of the protocol, then its kinds of security. */
async function vncHandshake(host: string): Promise<string[]> {
  const socket = new WebSocket(`wss://${host}/websockify`, 'binary');
  socket.binaryType = 'arraybuffer';
  const heard: string[] = [];
  socket.addEventListener('message', ({ data }) => {
    heard.push(Buffer.from(data as ArrayBuffer).toString('latin1'));
    if (heard.length === 1) socket.send(Buffer.from('RFB 003.008\n'));
  });
  await until(async () => heard.length === 2);
  socket.close();
  return heard;
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    if (await isSo()) return;
    await sleep(300);
  }
  throw new Error(`never so: ${isSo}`);
}
