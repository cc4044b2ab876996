/** What the driver of microVMs needs of a monitor that is steered over HTTP: Firecracker, Cloud Hypervisor. */
import type { RuntimeCapabilities } from '../driver.ts';

/** Names of files in a machine's root, which is all that its monitor sees. */
export const fileIn = {
  kernel: 'kernel',
  initrd: 'initrd',
  rootImage: 'root.img',
  disk: 'disk.img',
  /** Folder of guest memory and device state that a machine was started from, in a form of the monitor's own. */
  saved: 'saved',
  /** Folder that a running machine is written down into. */
  next: 'next',
  api: 'api',
  /** The Unix socket behind which the machine's vsock lies. */
  agent: 'agent',
} as const;

/** Where the guest agent listens in the machine (guest-agent/vsock.go). */
export const agentVsockPort = 1024;
/** CIDs 0 to 2 are taken by the protocol itself; each machine has a vsock of its own, so all have the same. */
export const guestCid = 3;
export const guestMac = '02:00:00:00:00:02';

export interface VmmProgram {
  readonly path: string;
  /** Its own words, because a snapshot fits one build only. */
  readonly version: string;
}

export interface VmmLaunch {
  readonly id: string;
  /** The machine's folder, root-owned; the monitor's root is `rootOf(directory, id)`, filled before. */
  readonly directory: string;
  readonly uid: number;
  readonly cgroupJoinFiles: readonly string[];
  /** No file that the monitor writes grows beyond this. */
  readonly fileMibMax: number;
  /** Whether there is a tap0. */
  readonly network: boolean;
}

export interface VmmShape {
  readonly guestMemoryMib: number;
  readonly processors: number;
}

/** One machine's monitor; all calls go over the socket `api` in its root. */
export interface Vmm {
  /** The name that users say. */
  readonly name: string;
  readonly fork: RuntimeCapabilities['fork'];
  readonly caveats: readonly string[];
  readonly remedy: string;
  /** What the monitor itself needs beside the guest's memory. */
  readonly ownMib: number;
  /** @throws CasemateError `runtime_unavailable` */
  find(): Promise<VmmProgram>;
  /** The folder on the host that the monitor has as its root. */
  rootOf(directory: string, id: string): string;
  /** Arguments of the program that becomes the monitor, its jailer first. */
  argv(program: VmmProgram, launch: VmmLaunch): string[];
  /** Resolves when the monitor answers. */
  ping(api: string): Promise<void>;
  /** Makes the machine of the files in its root, without starting it; `disks` false for a probe. */
  define(api: string, shape: VmmShape, disks: boolean): Promise<void>;
  start(api: string): Promise<void>;
  pause(api: string): Promise<void>;
  resume(api: string): Promise<void>;
  /** Writes a paused machine's memory and devices into the folder `next`, which is empty and its user's. */
  save(api: string): Promise<void>;
  /** Loads what lies in the folder `saved`; the machine does not run yet. */
  load(api: string): Promise<void>;
}
