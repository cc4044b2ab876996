/** Boots a guest whose emulated processor has AMD's virtualisation, so that KVM works inside it. Its times mean nothing. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { runCommand } from '../../src/base/child.ts';
import { newId } from '../../src/base/ids.ts';
import { GuestClient } from '../../src/guest/client.ts';
import { openAgentStream } from '../../src/guest/stream.ts';
import type { Kernel } from '../../src/runtime/qemu/binary.ts';
import { writeInitrd } from '../../src/runtime/qemu/initrd.ts';
import { isPortOpen } from '../../src/runtime/qemu/migrate.ts';
import { Qmp } from '../../src/runtime/qemu/qmp.ts';

export interface NestedHostOptions {
  /** A folder for its disk, its socket and its console's log. */
  readonly folder: string;
  readonly kernel: Kernel;
  /** The folder of the guest agent, which is its first program. */
  readonly agentDir: string;
  readonly root: string;
  readonly checkout: string;
}

const memoryMib = 3072;
const processors = 2;
const bootMsMax = 5 * 60_000;
const diskMib = 8192;

export interface NestedHost {
  /** Runs a program as root there; its output is passed on as it comes. @returns its exit code */
  run(argv: readonly string[], env: Readonly<Record<string, string>>, timeoutMs: number): Promise<number>;
  end(): void;
}

export async function bootNestedHost(options: NestedHostOptions): Promise<NestedHost> {
  const { folder, kernel, agentDir } = options;
  const disk = join(folder, 'disk.img');
  const socket = join(folder, 'agent');
  await runCommand(['truncate', '-s', `${diskMib}M`, disk]);
  await runCommand(['mkfs.ext4', '-q', '-F', '-O', '^has_journal', disk]);
  await writeInitrd(join(folder, 'initrd'), kernel, join(agentDir, 'guest-agent'), 'serial');
  const argv = machineArguments(options, disk, socket);
  const child = spawn('qemu-system-x86_64', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
  const qmp = new Qmp(child.stdout, child.stdin);
  child.on('error', (error) => qmp.end(error));
  child.on('close', (code) => qmp.end(new Error(`The nested host ended with code ${code}.`)));
  const end = (): void => void child.kill('SIGKILL');
  try {
    await qmp.event(isPortOpen, bootMsMax);
    const guest = await GuestClient.attach(await openAgentStream({ kind: 'unix', path: socket }));
    await guest.bind({ clockUnixMs: Date.now() });
    return {
      run: (program, env, timeoutMs) => run(guest, program, env, timeoutMs),
      end: () => {
        guest.close();
        end();
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

function machineArguments(options: NestedHostOptions, disk: string, socket: string): string[] {
  const { folder, kernel, root, checkout } = options;
  const drive = (file: string, readOnly: boolean): string[] => [
    '-drive',
    `file=${file},format=raw,if=virtio,cache=unsafe,read-only=${readOnly ? 'on' : 'off'}`,
  ];
  return [
    ...['-machine', 'q35,vmport=off,sata=off,smbus=off,graphics=off,usb=off'],
    ...['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'EPYC,+svm,+npt'],
    ...['-m', `${memoryMib}M`, '-smp', String(processors)],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-sandbox', 'on'],
    ...['-chardev', 'stdio,id=control,signal=off', '-mon', 'chardev=control,mode=control'],
    ...['-serial', `file:${join(folder, 'console.log')}`],
    ...['-kernel', kernel.image, '-initrd', join(folder, 'initrd'), '-append'],
    'rdinit=/init console=ttyS0 loglevel=4 reboot=t panic=-1 random.trust_cpu=on -- --init',
    ...['-chardev', `socket,id=agent,path=${socket},server=on,wait=off`],
    ...['-device', 'virtio-serial-pci,max_ports=2'],
    ...['-device', 'virtserialport,id=agent,chardev=agent,name=agent'],
    ...drive(root, true),
    ...drive(disk, false),
    ...drive(checkout, true),
    // The agent waits for an interface; nothing is reached through it.
    ...['-netdev', 'user,id=net,restrict=on', '-device', 'virtio-net-pci,netdev=net,romfile='],
  ];
}

async function run(
  guest: GuestClient,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<number> {
  const exec = await guest.execStart({ execId: newId(), argv, env, user: 'root', cwd: '/', timeoutMs });
  for await (const { channel, data } of exec.output)
    (channel === 'stdout' ? process.stdout : process.stderr).write(data);
  const exit = await exec.exited;
  if (exit?.reason === 'deadline') process.stderr.write(`Ended after ${timeoutMs} ms.\n`);
  return exit?.exitCode ?? -1;
}
