/** What the server may ask of the small root process: types and names only, one JSON object a line over a socket pair. */
import type { ErrorCode } from '../base/errors.ts';
import type {
  AgentStreamAddress,
  FreezerAddress,
  Inspection,
  ProbeResult,
  SandboxLimits,
} from '../runtime/driver.ts';

/** A line longer than this ends the connection. */
export const rootLineBytesMax = 1024 * 1024;

export interface RootInstance {
  readonly id: string;
  readonly template: string;
  /** Digest of the template that it was started from. */
  readonly templateDigest: string;
  readonly runtime: string;
  readonly limits: SandboxLimits;
  /** Its end of its link, by which the egress proxy knows it. */
  readonly address: string;
  readonly stream: AgentStreamAddress;
  readonly freezer: FreezerAddress;
  /** Those that were attached to it, before and since it was started. */
  readonly volumes?: readonly AttachedVolume[];
  /** It has just booted on files alone: neither its kernel nor its agent knows of before, volumes neither. */
  readonly booted?: boolean;
  /** Its template's program that has to run, and to listen on a port, before anybody gets the sandbox. */
  readonly start?: { readonly argv: readonly string[]; readonly readyPort: number };
}

export interface RootTemplate {
  readonly name: string;
  readonly digest: string;
  readonly ready: boolean;
  readonly bytes: number;
  readonly builtAt?: string;
  readonly memoryMib?: number;
  readonly start?: { readonly argv: readonly string[]; readonly readyPort: number };
}

export interface RootProgress {
  readonly phase: string;
  readonly percent: number;
  readonly message: string;
}

export interface RuntimeProbe {
  readonly name: string;
  readonly result: ProbeResult;
}

/** Where an image is pulled from. Registries are those that the administrator named. */
export type RootImageSource =
  | {
      readonly kind: 'registry';
      readonly registry: string;
      readonly repository: string;
      /** `:3.12` or `@sha256:…`. */
      readonly reference: string;
    }
  /** Nothing at all. */
  | { readonly kind: 'scratch' }
  /** A file, or a folder in OCI layout, among the server's build contexts. */
  | { readonly kind: 'archive' | 'layout'; readonly id: string };

/** What a build's sandbox may copy from. */
export type RootLayerSource = { readonly layers: readonly string[] } | { readonly context: string };

export interface VolumeQuota {
  /** Size of its file system, tables and journal included, in MiB. */
  readonly mib: number;
  readonly inodes: number;
}

export interface RootVolume extends VolumeQuota {
  readonly id: string;
  /** What it takes of the host's disk now, in bytes. */
  readonly allocatedBytes: number;
  /** Of its own file system; undefined while it is not mounted. */
  readonly usedBytes?: number;
  readonly usedInodes?: number;
}

/** What takes up this host's disk: one folder each. */
export type RootDiskKind = 'sandbox' | 'snapshot' | 'volume' | 'layer' | 'cache' | 'machine';

export interface RootDiskItem {
  readonly kind: RootDiskKind;
  readonly id: string;
  /** Blocks that it really takes. */
  readonly bytes: number;
  readonly changedAtMs: number;
  /** Whether it is in use now: a sandbox that nobody has claimed, what a build is working on. */
  readonly held: boolean;
}

/** One volume of a sandbox, as the root process has to know it. */
export interface AttachedVolume {
  readonly volumeId: string;
  /** The name under which the sandbox's agent finds it. */
  readonly slot: number;
  readonly readOnly: boolean;
  /** The folder of it that is seen; made where it is missing and the volume writable. */
  readonly subpath?: string;
}

/** Parameters and answer of each method. */
export interface RootMethods {
  /** What still runs; asked once, at the start. */
  survivors: { params: Record<string, never>; result: RootInstance[] };
  /** Every runtime, or the one named: each probe starts a real sandbox, and some take seconds. */
  probe: { params: { runtime?: string }; result: RuntimeProbe[] };
  create: { params: { template: string; runtime: string; limits: SandboxLimits }; result: RootInstance };
  /**
   * Writes a running one down; `restarted` is it anew where its runtime had to end it for that. With `filesOnly`, of one that is
   * not to go on, nothing of its memory is kept: of a runtime that reboots.
   */
  snapshot: {
    params: {
      id: string;
      snapshotId: string;
      keepRunning: boolean;
      transient: boolean;
      filesOnly: boolean;
    };
    result: { bytes: number; restarted?: RootInstance };
  };
  /** Starts one from a snapshot; with `id` it is that sandbox again. */
  restore: {
    params: { snapshotId: string; id?: string; volumes?: readonly AttachedVolume[] };
    result: RootInstance;
  };
  /** Makes volumes appear in a sandbox that runs. */
  attachVolumes: {
    params: { id: string; volumes: readonly AttachedVolume[] };
    result: Record<string, never>;
  };
  /** An empty one, or a copy of `from`, whose size it then has. */
  createVolume: {
    params: { volumeId: string; from?: string } & VolumeQuota;
    result: Record<string, never>;
  };
  removeVolume: { params: { volumeId: string }; result: Record<string, never> };
  volumes: { params: Record<string, never>; result: RootVolume[] };
  /** Starts what serves a volume's files without a sandbox, unless it runs; nobody else's bytes reach it. */
  openVolumeFiles: {
    params: { volumeId: string; readOnly: boolean };
    result: { stream: AgentStreamAddress };
  };
  closeVolumeFiles: { params: { volumeId: string }; result: Record<string, never> };
  snapshots: { params: Record<string, never>; result: string[] };
  removeSnapshot: { params: { snapshotId: string }; result: Record<string, never> };
  setLimits: { params: { id: string; limits: SandboxLimits }; result: Record<string, never> };
  inspect: { params: { id: string }; result: Inspection };
  /** By id; those that are not there are left out. */
  inspectAll: { params: { ids: readonly string[] }; result: Record<string, Inspection> };
  destroy: { params: { id: string }; result: Inspection };
  templates: { params: Record<string, never>; result: RootTemplate[] };
  buildTemplate: { params: { template: string }; result: RootTemplate };
  removeTemplate: { params: { template: string }; result: Record<string, never> };
  /** `config` is the image's own JSON, unread. */
  pullImage: { params: { source: RootImageSource }; result: { layer: string; config: string } };
  hasLayer: { params: { digest: string }; result: { has: boolean } };
  startLayer: {
    params: {
      layers: readonly string[];
      sources: Readonly<Record<string, RootLayerSource>>;
      caches: readonly { readonly id: string; readonly target: string }[];
      limits: SandboxLimits;
    };
    result: RootInstance;
  };
  sealLayer: { params: { id: string; digest: string }; result: { bytes: number } };
  defineImage: { params: { layers: readonly string[]; settings: string }; result: { digest: string } };
  collectImages: {
    params: { keepImages: readonly string[]; keepLayers: readonly string[]; dryRun: boolean };
    result: { images: string[]; layers: string[]; bytes: number };
  };
  diskUse: { params: Record<string, never>; result: RootDiskItem[] };
  /** Takes away what no row of the database names. */
  removeOwnerless: { params: { kind: RootDiskKind; id: string }; result: Record<string, never> };
}

export type RootMethod = keyof RootMethods;

export interface RootRequest {
  readonly number: number;
  readonly method: string;
  readonly params: unknown;
}

export type RootAnswer =
  | { readonly number: number; readonly result: unknown }
  | { readonly number: number; readonly progress: RootProgress }
  | { readonly number: number; readonly error: { code: ErrorCode; message: string } }
  /** Unasked: places that a sandbox tried to reach and was refused. */
  | {
      readonly event: 'denied';
      readonly id: string;
      readonly address: string;
      readonly protocol: string;
      readonly port: number;
    };
