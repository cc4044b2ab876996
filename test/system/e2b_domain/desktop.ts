/** A desktop as a team on E2B uses it: everything that the SDK of desktops calls, and its stream over TLS. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type * as Desktop from '@e2b/desktop';
import { clientCalls } from '../e2b/client.ts';
import { Recorder } from '../e2b/surface.ts';
import { vncScreen, vncSecurity } from './vnc.ts';

const sdk = (await import(process.env.SDK ?? '')) as Omit<typeof Desktop, 'default'>;
const { Sandbox } = sdk;
const recorder = new Recorder();
recorder.watch(Sandbox, 'Sandbox');
recorder.watch(Sandbox.prototype, 'sandbox');
const options = { resolution: [1024, 768] as [number, number], dpi: 96, timeoutMs: 600_000 };
const desktop = await Sandbox.create(options);
try {
  await screen();
  await mouse();
  await windows();
  await stream();
} finally {
  await desktop.kill();
}
const older = Sandbox as unknown as { betaCreate?: (given: typeof options) => Promise<Desktop.Sandbox> };
await (await older.betaCreate?.(options))?.kill();
await clientCalls(sdk, { apiKey: process.env.E2B_API_KEY ?? '' }, recorder);
console.log('all found');
console.log(JSON.stringify(Object.fromEntries(recorder.outcomes)));
process.exit(0); // the SDK keeps connections for its next call

async function screen(): Promise<void> {
  assert.deepEqual(await desktop.getScreenSize(), { width: 1024, height: 768 });
  const picture = Buffer.from(await desktop.screenshot());
  assert.equal(picture.subarray(1, 4).toString(), 'PNG');
  assert.deepEqual([picture.readUInt32BE(16), picture.readUInt32BE(20)], [1024, 768]);
  assert.ok((await desktop.screenshot('blob')).size > 1000);
  assert.ok(await desktop.waitAndVerify('pgrep -x xfwm4', ({ exitCode }) => exitCode === 0));
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
  await desktop.wait(100);
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
  await until(async () =>
    (await desktop.getWindowTitle(await desktop.getCurrentWindowId())).includes('notes.txt'),
  );
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

/** The page with all that it loads, and what its program says then: a password is asked for, or the screen is shown. */
async function stream(): Promise<void> {
  recorder.watch(Object.getPrototypeOf(desktop.stream) as object, 'stream');
  await desktop.stream.start({ requireAuth: true });
  const url = new URL(desktop.stream.getUrl({ authKey: desktop.stream.getAuthKey(), viewOnly: true }));
  assert.equal(url.searchParams.get('password'), desktop.stream.getAuthKey());
  const page = await (await fetch(url)).text();
  assert.match(page, /noVNC/);
  const parts = [...page.matchAll(/<(?:script|link)[^>]+(?:src|href)="([^":]+)"/g)].map(
    ([, part]) => part ?? '',
  );
  assert.ok(parts.some((part) => part.endsWith('.js')));
  for (const part of parts) assert.equal((await fetch(new URL(part, url))).status, 200, part);
  assert.deepEqual(await vncSecurity(url.host), [2], 'one kind of security: a password');
  await desktop.stream.stop();
  await desktop.stream.start({ requireAuth: false });
  assert.deepEqual(await vncSecurity(url.host), [1], 'no password where none was asked for');
  const shown = await vncScreen(url.host);
  assert.deepEqual([shown.width, shown.height], [1024, 768]);
  assert.ok(new Set(shown.pixels).size > 16, 'a picture, not one colour');
  await desktop.stream.stop();
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 200; round += 1) {
    if (await isSo()) return;
    await sleep(300);
  }
  throw new Error(`never so: ${isSo}`);
}
