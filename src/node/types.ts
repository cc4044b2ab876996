/** What the node offers to control: claim, adopt and destroy sandboxes on this host. Types only. */

import type { GuestClient } from '../guest/client.ts';
import type { VolumeClient } from '../guest/volumeClient.ts';
import type {
  AttachedVolume,
  RootDiskItem,
  RootDiskKind,
  RootImageSource,
  RootLayerSource,
  RootMethods,
  RootVolume,
} from '../rootd/protocol.ts';
import type { Inspection, RuntimeCapabilities, SandboxLimits } from '../runtime/driver.ts';
import type { Rest } from './rest.ts';

export type DiskItem = RootDiskItem;
export type DiskKind = RootDiskKind;
export type ImageSource = RootImageSource;
export type LayerSource = RootLayerSource;

/** A volume, and where the sandbox shall find it. */
export interface WantedVolume extends AttachedVolume {
  readonly path: string;
}

export interface ClaimRequest {
  readonly template: string;
  readonly start?: StartCommand;
  readonly runtime: string;
  readonly limits: SandboxLimits;
  readonly bind: {
    readonly env: Readonly<Record<string, string>>;
    readonly user?: string;
    readonly hostname?: string;
    /** Where programs start that name no directory. */
    readonly cwd?: string;
  };
  /** Attached while it is claimed; one that cannot be ends the sandbox. */
  readonly volumes?: readonly WantedVolume[];
  /**
   * Called once, synchronously, when the id is known and before anything of the tenant touches the sandbox; control
   * writes its row here. If it throws, the sandbox is destroyed.
   */
  onTaken(id: string): void;
}

/** Starts a sandbox from a snapshot. */
export interface RestoreRequest {
  readonly snapshotId: string;
  /** The sandbox that it is again; a new one otherwise. */
  readonly id?: string;
  readonly bind: ClaimRequest['bind'];
  readonly limits: SandboxLimits;
  /** Volumes that are mounted in what the snapshot holds; mounted again where it holds files only. */
  readonly held?: readonly WantedVolume[];
  /** As in `ClaimRequest`; slots other than those of `held`. */
  readonly volumes?: readonly WantedVolume[];
  /** Of its template: started again where the snapshot has not kept it. */
  readonly start?: StartCommand;
  /** As in `ClaimRequest`. */
  onTaken(id: string): void;
}

export interface SnapshotOptions {
  readonly keepRunning: boolean;
  readonly transient: boolean;
  readonly filesOnly?: boolean;
}

/** What a template's sandboxes run before anybody gets them. */
export interface StartCommand {
  /** A program, or a command of the shell. */
  readonly argv?: readonly string[];
  readonly command?: string;
  /** Nothing is waited for without. */
  readonly ready?: ReadyCheck;
  readonly readyTimeoutMs: number;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly cwd?: string;
}

/** Something listens on the port, or the command ends with 0. */
export type ReadyCheck = { readonly port: number } | { readonly command: string };

/** Layers of templates on this host, and the sandboxes that make them. */
export interface NodeBuilds {
  /** @throws CasemateError `no_capacity` where this host has no room for another build */
  admit(): void;
  /** An image as a layer; `config` is its own JSON. @throws CasemateError `build_failed`, `forbidden` */
  pull(
    source: RootImageSource,
    onProgress: (message: string) => void,
  ): Promise<{ layer: string; config: string }>;
  hasLayer(digest: string): Promise<boolean>;
  /** Starts a sandbox whose changes `seal` makes into a layer. It belongs to the caller, who ends it. */
  start(params: {
    readonly layers: readonly string[];
    readonly sources: Readonly<Record<string, RootLayerSource>>;
    readonly caches: readonly { readonly id: string; readonly target: string }[];
    readonly limits: SandboxLimits;
  }): Promise<LiveSandbox>;
  /** Ends it and keeps what it changed. @returns bytes on disk. */
  seal(sandbox: LiveSandbox, digest: string): Promise<number>;
  /**
   * Makes a stack of layers into something that sandboxes start from, by the name of its digest (`imageName`).
   * @param settings a digest of what else tells it from another template of the same layers.
   */
  defineImage(layers: readonly string[], settings: string): Promise<string>;
  /** Takes away what is not to be kept; with `dryRun` it only says what that would be. */
  collect(options: {
    readonly keepImages: readonly string[];
    readonly keepLayers: readonly string[];
    readonly dryRun: boolean;
  }): Promise<{ images: readonly string[]; layers: readonly string[]; bytes: number }>;
}

export interface LiveSandbox {
  readonly id: string;
  readonly template: string;
  readonly runtime: string;
  readonly isolation: RuntimeCapabilities['isolation'];
  readonly acceleration: RuntimeCapabilities['acceleration'];
  readonly source: 'warm' | 'cold';
  /** Its address on its link to the gate. */
  readonly address: string;
  readonly guest: GuestClient;
  readonly rest: Rest;
}

export interface PoolStatus {
  readonly template: string;
  readonly runtime: string;
  /** Warm sandboxes wanted. */
  readonly size: number;
  readonly ready: number;
  readonly starting: number;
}

export interface RuntimeInfo {
  readonly name: string;
  readonly available: boolean;
  readonly version?: string;
  readonly detail?: string;
  readonly reason?: string;
  readonly remedy?: string;
  readonly capabilities?: RuntimeCapabilities;
}

export interface TemplateInfo {
  readonly name: string;
  /** SHA-256 of the definition; a template is rebuilt only when it changes. */
  readonly digest: string;
  readonly ready: boolean;
  readonly bytes: number;
  readonly builtAt?: string;
  /** Memory of a sandbox that asks for none, where it is not the usual. */
  readonly memoryMib?: number;
  /** What each of its sandboxes has running, and the port by which it is known to be ready. */
  readonly start?: { readonly argv: readonly string[]; readonly readyPort: number };
}

export interface BuildProgress {
  readonly phase: string;
  /** 0–100 over the whole build. */
  readonly percent: number;
  readonly message: string;
}

/** Why a sandbox went away by itself. */
export interface GoneReason {
  readonly oomKills: number;
  readonly pidLimitHits: number;
  readonly kernelPanic: boolean;
  readonly protocolError?: string;
}

export interface SandboxNode {
  readonly builds: NodeBuilds;
  /** Connects to the root process and learns what survived; attaches to nothing yet. */
  start(): Promise<void>;
  /** Ids that still run after a restart of this process. */
  survivors(): readonly string[];
  /** Takes over a survivor that control has a row of. */
  adopt(id: string): Promise<LiveSandbox>;
  /** Takes a survivor that nobody claimed back into the pool; destroys it where it no longer fits. */
  adoptIntoPool(id: string): Promise<void>;
  /**
   * A sandbox of the template, warm where there is one, cold otherwise.
   * @throws CasemateError `no_capacity`, `template_not_ready`, `runtime_unavailable`, `policy_unenforceable`
   */
  claim(request: ClaimRequest): Promise<LiveSandbox>;
  /** The running sandbox behind an id, awake until `done` is called; undefined when it has ended. */
  use(id: string): { readonly live: LiveSandbox; readonly done: () => void } | undefined;
  /**
   * Writes a running sandbox down as a snapshot. With `keepRunning` it goes on afterwards; programs in it go on, attached
   * readers of their output are let go. Without, nothing of it is left on the host.
   * @param options.transient the files serve `restore` until `removeSnapshot` only, and no restart.
   * @param options.filesOnly ends every program first; where its runtime reboots, none of its memory is kept. Not with
   *   `keepRunning`.
   * @returns bytes on disk.
   * @throws CasemateError `unsupported`; the sandbox then goes on as before.
   */
  snapshot(id: string, snapshotId: string, options: SnapshotOptions): Promise<number>;
  /** @throws CasemateError `not_found`, `snapshot_damaged`, `snapshot_mismatch`, `no_capacity` */
  restore(request: RestoreRequest): Promise<LiveSandbox>;
  /** Ids of snapshots whose files are on this host. */
  snapshots(): Promise<readonly string[]>;
  /** Idempotent; files that running sandboxes need stay until those have ended. */
  removeSnapshot(snapshotId: string): Promise<void>;
  readonly volumes: {
    /**
     * @param params.from copies this one, which then stands still for as long as that takes.
     * @throws CasemateError `no_capacity` where the disk could not hold all volumes full, `not_found`
     */
    create(params: RootMethods['createVolume']['params']): Promise<void>;
    /** Idempotent. @throws CasemateError `conflict` while a sandbox has it */
    remove(volumeId: string): Promise<void>;
    /** Those whose files are on this host. */
    list(): Promise<readonly RootVolume[]>;
    /** Its files without a sandbox, until `done` is called. @throws CasemateError `not_found` */
    useFiles(
      volumeId: string,
      readOnly: boolean,
    ): Promise<{ readonly files: VolumeClient; readonly done: () => void }>;
  };
  readonly disk: {
    /** Of the file system that the sandboxes' disks take their bytes from. */
    room(): { readonly totalBytes: number; readonly freeBytes: number };
    /** What takes it up, whoever it belongs to. */
    list(): Promise<readonly RootDiskItem[]>;
    /** @throws CasemateError `conflict` where something has it in use */
    remove(kind: RootDiskKind, id: string): Promise<void>;
  };
  /** Idempotent; resolves when nothing of it is left on the host. */
  destroy(id: string): Promise<void>;
  inspect(id: string): Promise<Inspection>;
  readonly usage: {
    /** Ids of sandboxes that somebody has and that do not stand still. */
    awake(): readonly string[];
    /** Read from outside of them: nothing wakes. Those that are not there are left out. */
    of(ids: readonly string[]): Promise<ReadonlyMap<string, Inspection>>;
  };
  /** `listener` hears of sandboxes whose agent stream ended by itself, after the node destroyed the rest of them. */
  onGone(listener: (id: string, why: GoneReason) => void): void;
  /** `listener` hears of sandboxes that go on with another address, after their runtime had to end them for a snapshot. */
  onMoved(listener: (live: LiveSandbox) => void): void;
  pools(): readonly PoolStatus[];
  setPool(template: string, runtime: string, size: number, start?: StartCommand): void;
  runtimes(): Promise<readonly RuntimeInfo[]>;
  templates(): Promise<readonly TemplateInfo[]>;
  /** Limits of a sandbox of the template that asks for none; pooled ones have them. */
  defaultLimits(template: string): SandboxLimits;
  buildTemplate(name: string, onProgress: (progress: BuildProgress) => void): Promise<TemplateInfo>;
  removeTemplate(name: string): Promise<void>;
  /** Destroys what nobody claimed and lets go of the rest, which goes on running for the next server to adopt. */
  stop(): Promise<void>;
}
