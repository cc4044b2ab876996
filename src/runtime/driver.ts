/**
 * The interface between Casemate and whatever isolates a sandbox (gVisor today, microVMs next).
 *
 * Contract, for every driver (`conformance.ts` is the suite that each one passes):
 * - Everything runs as root inside the small root process. No method reads a byte that a sandbox sent.
 * - `stage` and `create` journal nothing and cleans nothing up after others: the caller journals before it calls,
 *   and calls `destroy` on every failure. `destroy` is idempotent, works on half-made instances, on ids it never saw and after
 *   a restart of this process; when it returns, no process, mount, cgroup, interface or file of the id is left.
 * - An instance outlives the process that created it. `inspect` finds it again by id alone.
 * - A limit that cannot be enforced is an error (`policy_unenforceable`), never a warning.
 * - What a runtime cannot do stands in `capabilities`, and the method answers `unsupported`. Nobody branches on a name.
 */

import type { Attachment } from './host/attach.ts';

/** Limits of one sandbox, enforced from outside of it. */
export interface SandboxLimits {
  /** Processor time, in CPUs; fractions allowed. */
  readonly cpus: number;
  /** Memory of the sandbox *including* what the runtime itself uses for it, in MiB. */
  readonly memoryMib: number;
  /** Bytes that the private writable layer may hold, in MiB. */
  readonly diskMib: number;
  /** Host processes and threads, including the runtime's own. */
  readonly pids: number;
}

/** Where the unprivileged side opens the agent's byte stream. The root process never opens it. */
export type AgentStreamAddress =
  /** Two FIFOs, owned by the server's user: `hostToGuest` is written, `guestToHost` read; EOF there means the end. */
  | { readonly kind: 'fifo'; readonly hostToGuest: string; readonly guestToHost: string }
  /** A Unix socket that accepts one connection after the other. */
  | { readonly kind: 'unix'; readonly path: string }
  /** A machine's vsock behind a Unix socket: `CONNECT <port>`, `OK <number>`, then bytes. */
  | { readonly kind: 'vsock'; readonly path: string; readonly port: number };

/**
 * How the unprivileged side makes a sandbox stand still and go on by itself, in microseconds and without the root process:
 * it owns this one file of the sandbox's control group, and writes one of the two words.
 */
export interface FreezerAddress {
  readonly file: string;
  readonly frozen: string;
  readonly thawed: string;
}

export interface RuntimeCapabilities {
  /** The class of isolation; part of what a user asks for, never weakened silently. */
  readonly isolation: 'application-kernel' | 'virtual-machine' | 'none';
  /** What runs a guest's instructions: the processor itself through KVM, or a program; absent where there is no guest. */
  readonly acceleration?: 'kvm' | 'emulation';
  /**
   * Whether `snapshot` and `restore` work, and what becomes of the source: `live`, it goes on by itself; `ends`, it is
   * gone and the caller restores it from what was written. Standing still in memory (`pause`) is what every runtime can.
   */
  readonly snapshot: 'live' | 'ends' | 'none';
  /**
   * Whether `saveFiles` and `boot` work: a pause of files alone keeps no memory, and another kernel starts on the files. Where
   * not, such a pause is a `snapshot` of a sandbox whose programs were ended.
   */
  readonly reboots: boolean;
  /** How those that start from one snapshot share its memory; `none` where there are no snapshots. */
  readonly fork: 'copy-on-write' | 'copy' | 'none';
  /**
   * How one that runs gets volumes: `late`, folders of the host appear in it (`attach`); `stream`, its kernel asks for files
   * over the agent's stream, and `attach` does nothing.
   */
  readonly volumes: 'late' | 'stream' | 'none';
  /** Whether one that nobody uses takes processor time all the same: `restless` ones are made to stand still. */
  readonly idle: 'quiet' | 'restless';
  /** Limits that can change while it runs. */
  readonly lateLimits: readonly (keyof SandboxLimits)[];
  /** What a program inside sees of its limits (`nproc`, `free`, `df`), in words for the docs and `doctor`. */
  readonly limitsSeenInside: Readonly<Record<'cpus' | 'memory' | 'disk', string>>;
  /** Whether a program sees an error at the disk limit, or the whole sandbox ends. */
  readonly atDiskLimit: 'error' | 'ends';
  /** What bounds the number of inodes, and what else a user has to know of this build; in words. */
  readonly inodes: string;
  readonly caveats: readonly string[];
}

/** What `probe` found by doing, not by looking. */
export type ProbeResult =
  | {
      readonly available: true;
      readonly version: string;
      readonly detail: string;
      readonly capabilities: RuntimeCapabilities;
    }
  | { readonly available: false; readonly reason: string; readonly remedy: string };

/** A folder of the host that a sandbox which makes a layer sees. */
export interface LayerMount {
  readonly source: string;
  /** Absolute, inside of the sandbox. */
  readonly target: string;
  readonly writable: boolean;
}

export interface StageOptions {
  /** 20 characters of [a-z0-9]. */
  readonly id: string;
  readonly limits: SandboxLimits;
  /** The template that it will be started from, where that is known: a hint, which saves a driver time. */
  readonly templateRoot?: string;
  /** The folder that it will be restored from, where that is known: a hint as well, given with `templateRoot`. */
  readonly snapshot?: string;
  /** It will make a layer: its disk holds files. */
  readonly layer?: boolean;
  /** Resolves with the name of its network namespace when that is there; a hint too. */
  readonly network?: Promise<string>;
}

export interface CreateOptions {
  readonly id: string;
  /** Absolute path of the template's read-only root directory. */
  readonly templateRoot: string;
  readonly limits: SandboxLimits;
  /** The limits that it was staged with; what differs is changed before anything runs. */
  readonly stagedLimits: SandboxLimits;
  /** The network namespace made for this sandbox alone (a name under /run/netns). */
  readonly networkNamespace: string;
  readonly hostname: string;
  /**
   * What it changes is to become a layer, which `sealLayer` hands over. `sources` are seen read-only below /.casemate, by
   * their names; `mounts` where they say.
   */
  readonly layer?: {
    readonly sources: Readonly<Record<string, string>>;
    readonly mounts: readonly LayerMount[];
  };
  /** Owner of the agent stream's end on the host. */
  readonly streamOwner: { readonly uid: number; readonly gid: number };
}

export type InstanceState = 'running' | 'paused' | 'gone';

export interface Inspection {
  readonly state: InstanceState;
  /** Times the kernel killed something of this sandbox at its memory limit. */
  readonly oomKills: number;
  /** Times a new process or thread was refused at the limit. */
  readonly pidLimitHits: number;
  readonly memoryBytes: number;
  readonly cpuMicroseconds: number;
  readonly diskBytes: number;
  readonly pids: number;
  /** A kernel of its own has panicked; only of a runtime that can know. */
  readonly kernelPanic?: boolean;
}

export interface RuntimeDriver {
  /** The name that users say: `gvisor`, `qemu`, … */
  readonly name: string;

  /**
   * How many to keep staged with a source, for what was started last: where most of a start can be done before it is
   * asked for. None where it is left out.
   */
  readonly stagedAhead?: number;

  /** Starts a real sandbox and ends it again. Never throws: what is missing is a result. */
  probe(): Promise<ProbeResult>;

  /** Makes ready what can be made before a sandbox is asked for (per host, and per template). Idempotent. */
  prepare(templateRoot: string): Promise<void>;

  /** Takes what costs time but knows neither template nor tenant (control groups, disk, streams), ahead of `create`. */
  stage(options: StageOptions): Promise<void>;

  /** Starts a staged one. Resolves when the runtime says that the agent's process was started. */
  create(options: CreateOptions): Promise<AgentStreamAddress>;

  /** The address that `create` answered, again, for an adopted instance. */
  agentStream(id: string): AgentStreamAddress;
  freezer(id: string): FreezerAddress;

  /** Changes limits of a running instance; `unsupported` for one that is not in `lateLimits`. */
  setLimits(id: string, limits: SandboxLimits, stagedLimits: SandboxLimits): Promise<void>;

  /**
   * Makes a folder of the host appear inside, read-only where it says so whatever the sandbox does: at
   * `/.casemate/volumes/<slot>`, from where the agent puts it where it is wanted. For a staged instance, which finds it there
   * when it is started, or one that runs. It goes with `destroy`.
   * @throws CasemateError `unsupported`
   */
  attach(id: string, attachment: Attachment): Promise<void>;

  inspect(id: string): Promise<Inspection>;

  /** Stands still in memory, uses no processor; idempotent. The same as writing to `freezer`. */
  pause(id: string): Promise<void>;
  resume(id: string): Promise<void>;

  /**
   * Writes memory, devices and the private disk of a running instance into `directory`, which exists, is empty and root's.
   * It stands still for the while. On success the source is as `capabilities.snapshot` says; on failure it goes on as
   * before, and what lies in `directory` is worth nothing.
   */
  snapshot(id: string, directory: string): Promise<void>;

  /**
   * Starts a staged instance from what `snapshot` wrote, which is read-only, may serve many at once, and stays where it is
   * as long as one of them lives: a fork is a snapshot and as many of these as it has children. The agent goes on where it
   * stood: the caller attaches anew and tells it that it was restored, before anything of a user runs.
   * @throws CasemateError `snapshot_mismatch` where this runtime's version or processor is not the one that wrote it.
   */
  restore(options: CreateOptions, directory: string): Promise<AgentStreamAddress>;

  /**
   * Ends a running instance and keeps what it wrote to its private disk in `directory`, as for `snapshot`, and nothing of its
   * memory. The caller has had the agent write all files out. On failure it goes on as before, or is gone.
   * @throws CasemateError `unsupported` unless it `reboots`.
   */
  saveFiles(id: string, directory: string): Promise<void>;

  /**
   * Starts a staged instance on the files that `saveFiles` kept, with a kernel and an agent that know nothing of before: the
   * caller attaches and binds as for a new one. Any version of the runtime will do; the template is the one that the files are of,
   * which the caller sees to.
   * @throws CasemateError `unsupported`, `snapshot_damaged` where nothing boots from them.
   */
  boot(options: CreateOptions, directory: string): Promise<AgentStreamAddress>;

  /**
   * Only of a runtime that can make layers: ends a sandbox that was created with `layer`, and answers the disk image whose
   * folder `upper` holds what it changed, in overlayfs's form, not mounted any more. The caller takes the file before it
   * calls `destroy`.
   */
  sealLayer?(id: string): Promise<string>;

  destroy(id: string): Promise<void>;

  /** Gives back what `prepare` took for one template that goes; of a runtime that keeps something for each. */
  forget?(templateRoot: string): Promise<void>;

  /** Gives back what `prepare` took; called when no instance is left. */
  release(): Promise<void>;

  /** Every id of which this driver still finds something on the host, whole or half-made. */
  leftovers(): Promise<string[]>;
}
