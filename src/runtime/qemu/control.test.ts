/** The process that speaks to QEMUs: it has no rights, and whatever a QEMU says ends at most the talk with that one. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { controlFolder, controlUid, MachineControl } from './control.ts';
import { controlFile } from './controlWire.ts';
import { takeState } from './source.ts';

const machineUid = 0x7000_1234;

/** The control process of this test, found as any other process would be. */
function controlPid(): number {
  const found = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .find((pid) => {
      try {
        const parent = /^PPid:\s(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        const isOurs = readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('controlProcess.ts');
        return isOurs && Number(parent) === process.pid;
      } catch {
        return false; // it has just ended
      }
    });
  return Number(found);
}

describe('the control process', { skip: process.getuid?.() === 0 ? false : 'needs root' }, () => {
  let folder: string;
  let control: MachineControl;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'casemate-control-'));
    chmodSync(folder, 0o711);
    MachineControl.makeFolder(folder, machineUid);
    control = new MachineControl(folder);
    await control.watch();
  });
  afterEach(async () => {
    await control.forget();
    await rm(folder, { recursive: true });
  });

  /** Takes QEMU's place: answers every command with what `say` makes of its name. */
  async function asQemu(say: (command: string) => string): Promise<Socket> {
    const socket = connect({ path: join(controlFolder(folder), controlFile.qmp) });
    socket.on('error', () => {});
    socket.setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n').filter((part) => part !== ''))
        socket.write(say((JSON.parse(line) as { execute: string }).execute));
    });
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  }
  const well = '{"return": {}}\n';

  it('has no rights: no capability, no group, no way to get any, and no network', () => {
    const pid = controlPid();
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const fields = ['Uid', 'Gid'].map((name) => new RegExp(`^${name}:\\t(.*)$`, 'm').exec(status)?.[1]);
    assert.deepEqual(
      fields,
      [controlUid, controlUid].map((id) => [id, id, id, id].join('\t')),
    );
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      assert.match(status, new RegExp(`^${set}:\\s0+$`, 'm'), set);
    assert.match(status, /^NoNewPrivs:\s1$/m);
    assert.match(status, /^Groups:\s*$/m);
    assert.notEqual(readlinkSync(`/proc/${pid}/ns/net`), readlinkSync('/proc/self/ns/net'));
    assert.deepEqual(
      readFileSync(`/proc/${pid}/net/dev`, 'utf8')
        .match(/^ *\w+(?=:)/gm)
        ?.map((name) => name.trim()),
      ['lo'],
    );
  });

  it('passes on whether commands were answered well, and the words of an error without what steers a terminal', async () => {
    const socket = await asQemu((command) =>
      command === 'bad' ? '{"error": {"desc": "no\\u001b[2J\\nway"}}\n' : well,
    );
    await control.commands(['good'], ['good', { with: 'parameters' }]);
    await assert.rejects(control.commands(['good'], ['bad']), { message: 'no [2J way' });
    socket.destroy();
  });

  it('knows that a kernel has panicked, also when QEMU is gone', async () => {
    const socket = await asQemu(() => well);
    await control.commands(['good']);
    assert.equal(await control.hasPanicked(), false);
    socket.end('{"event": "GUEST_PANICKED", "data": {"action": "poweroff"}}\n');
    await new Promise((resolve) => socket.once('close', resolve));
    assert.equal(await control.hasPanicked(), true);
  });

  it('ends the talk with a QEMU that says what is no protocol, and speaks with the next that comes', async () => {
    for (const nonsense of [
      'nonsense\n',
      '{"return": \n',
      'x'.repeat(300 * 1024),
      '[]\n{"error": 1}\nnull\n',
    ]) {
      const socket = await asQemu((command) => (command === 'qmp_capabilities' ? well : nonsense));
      await assert.rejects(control.commands(['good']));
      socket.destroy();
    }
    const socket = await asQemu(() => well);
    await control.commands(['good']);
    socket.destroy();
  });

  it('fails what was asked of a QEMU that ends meanwhile, with the reason', async () => {
    const socket = await asQemu((command) => (command === 'qmp_capabilities' ? well : ''));
    const asked = control.commands(['good']);
    control.fail(new Error('QEMU ended with code 1: words'));
    await assert.rejects(asked, /ended with code 1: words/);
    await assert.rejects(control.commands(['good']), /ended with code 1: words/);
    socket.destroy();
  });

  it('starts again where it was ended, and is found by QEMU again', async () => {
    process.kill(controlPid(), 'SIGKILL');
    await assert.rejects(control.commands(['good']), /has ended/);
    await control.hasPanicked(); // starts it, and it is told whom to listen for
    const socket = await asQemu(() => well);
    await control.commands(['good']);
    socket.destroy();
  });

  it('takes as a machine’s state nothing but a plain file', () => {
    const state = join(controlFolder(folder), controlFile.state);
    const target = join(folder, 'target');
    symlinkSync('/etc/shadow', state);
    assert.throws(() => takeState(folder, target));
    rmSync(state);
    writeFileSync(state, 'state');
    takeState(folder, target);
    assert.equal(readFileSync(target, 'utf8'), 'state');
    assert.equal(lstatSync(target).mode & 0o777, 0o444);
  });
});
