/** The small root process: wires drivers, networks, templates and journal, and answers one server at a time. */
import { mkdirSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import {
  instanceTag,
  namedPrograms,
  type Paths,
  type RegistrySetting,
  type SystemUser,
} from '../base/config.ts';
import { imageDigest } from '../base/imageName.ts';
import { limits } from '../base/limits.ts';
import type { Log } from '../base/log.ts';
import { Layers } from '../image/layers.ts';
import {
  buildTemplate,
  builtRoot,
  listTemplates,
  removeTemplate,
  startOf,
  templateRoot,
} from '../image/store.ts';
import { SandboxNetworks } from '../network/namespace.ts';
import { CloudHypervisorDriver } from '../runtime/cloud-hypervisor/driver.ts';
import type { RuntimeDriver } from '../runtime/driver.ts';
import { FirecrackerDriver } from '../runtime/firecracker/driver.ts';
import { GvisorDriver } from '../runtime/gvisor/driver.ts';
import { CgroupSet } from '../runtime/host/cgroup.ts';
import { QemuDriver } from '../runtime/qemu/driver.ts';
import { Builds } from './builds.ts';
import { watchDenials } from './denialWatch.ts';
import { DiskUse } from './diskUse.ts';
import { Instances } from './instances.ts';
import { Journal } from './journal.ts';
import type { RootInstance, RootMethods } from './protocol.ts';
import { type RootHandlers, serveRoot } from './rpc.ts';
import { Snapshots } from './snapshots.ts';
import { Volumes } from './volumes.ts';
import { VolumeServers } from './volumeServers.ts';

export interface RootOptions {
  readonly dataDir: string;
  readonly paths: Paths;
  readonly serverUser: SystemUser;
  readonly gvisorPlatform?: 'systrap' | 'ptrace';
  readonly registries: readonly RegistrySetting[];
  readonly log: Log;
}

const slotsAhead = 4;

export class Root {
  readonly #instances: Instances;
  readonly #networks: SandboxNetworks;
  readonly #drivers: ReadonlyMap<string, RuntimeDriver>;
  readonly #options: RootOptions;
  readonly #cgroups: CgroupSet;
  readonly #snapshots: Snapshots;
  readonly #volumes: Volumes;
  readonly #volumeServers: VolumeServers;
  readonly #layers: Layers;
  readonly #builds: Builds;
  readonly #diskUse: DiskUse;
  #stopWatching: (() => Promise<void>) | undefined;

  constructor(options: RootOptions) {
    this.#options = options;
    const { dataDir, paths, serverUser, log } = options;
    for (const folder of [paths.sandboxes, paths.roots, paths.store])
      mkdirSync(folder, { recursive: true, mode: 0o711 });
    const tag = instanceTag(dataDir);
    this.#networks = new SandboxNetworks(tag);
    this.#cgroups = new CgroupSet(`casemate-${tag}`);
    const gvisor = new GvisorDriver({
      libraryDir: `${paths.library}/gvisor`,
      sandboxesDir: paths.sandboxes,
      rootsDir: paths.roots,
      agentDir: paths.agentDir,
      cgroups: this.#cgroups,
      ...(options.gvisorPlatform === undefined ? {} : { platform: options.gvisorPlatform }),
    });
    this.#snapshots = new Snapshots(paths.snapshots);
    const machines = {
      libraryDir: paths.library,
      sandboxesDir: paths.sandboxes,
      agentDir: paths.agentDir,
      cacheDir: paths.machines,
      cgroups: this.#cgroups,
    };
    const qemu = new QemuDriver(machines);
    const programs = namedPrograms();
    const firecracker = new FirecrackerDriver({ ...machines, program: programs.firecracker });
    const cloudHypervisor = new CloudHypervisorDriver({ ...machines, program: programs.cloudHypervisor });
    const all: readonly RuntimeDriver[] = [gvisor, qemu, firecracker, cloudHypervisor];
    this.#drivers = new Map(all.map((driver) => [driver.name, driver]));
    const journal = new Journal(paths.journal);
    const isUsed = (volumeId: string): boolean =>
      journal.entries().some(({ volumes = [] }) => volumes.some((volume) => volume.volumeId === volumeId));
    this.#volumes = new Volumes(
      paths.volumes,
      (volumeId) => isUsed(volumeId) || this.#volumeServers.isServing(volumeId),
      log,
    );
    this.#volumeServers = new VolumeServers({
      agentDir: paths.agentDir,
      sandboxesDir: paths.sandboxes,
      cgroups: this.#cgroups,
      streamOwner: serverUser,
      mounted: (volumeId) => this.#volumes.mounted(volumeId),
      log,
    });
    this.#instances = new Instances({
      drivers: this.#drivers,
      networks: this.#networks,
      journal,
      snapshots: this.#snapshots,
      volumes: this.#volumes,
      streamOwner: serverUser,
      defaultLimits: {
        cpus: limits.sandboxCpusDefault,
        memoryMib: limits.sandboxMemoryMibDefault,
        diskMib: limits.sandboxDiskMibDefault,
        pids: limits.sandboxPidsDefault,
      },
      slots: slotsAhead,
      log,
    });
    this.#layers = new Layers({
      directory: paths.layers,
      templateRoot: (digest) => builtRoot(paths.store, digest),
    });
    this.#builds = new Builds({
      instances: this.#instances,
      layers: this.#layers,
      cgroups: this.#cgroups,
      sandboxesDir: paths.sandboxes,
      contextsDir: paths.contexts,
      cachesDir: paths.caches,
      serverUser,
      registries: options.registries,
    });
    this.#diskUse = new DiskUse({
      paths,
      journal,
      instances: this.#instances,
      snapshots: this.#snapshots,
      volumes: this.#volumes,
      builds: this.#builds,
    });
  }

  /** The namespace where all links end, and where the egress proxy listens. */
  get gate(): string {
    return this.#networks.gate;
  }

  /** Fails closed: without the gate's rules and the host's share of memory held back, nothing starts. */
  async start(): Promise<void> {
    await this.#networks.openGate();
    this.#cgroups.holdBack(limits.hostMemoryReserveMib);
    await this.#volumes.reconcile();
    await this.#instances.reconcile();
    await this.#builds.sweep();
  }

  /** A shipped template by its name, or a version of a tenant's by its digest. */
  async #templateRoot(template: string): Promise<{ digest: string; root: string }> {
    const digest = imageDigest(template, this.#layers.images());
    if (digest === undefined) return templateRoot(this.#options.paths.store, template);
    return { digest, root: await this.#layers.root(await this.#layers.layersOf(digest)) };
  }

  /** The root that a sandbox was started from. @throws CasemateError `snapshot_mismatch` where it is gone. */
  async #rootOf(digest: string): Promise<string> {
    if (!this.#layers.images().includes(digest)) return builtRoot(this.#options.paths.store, digest);
    return this.#layers.root(await this.#layers.layersOf(digest));
  }

  async #withStart(instance: RootInstance): Promise<RootInstance> {
    const start = await startOf(this.#options.paths.store, instance.templateDigest);
    return start === undefined ? instance : { ...instance, start };
  }

  /** Serves one server until its socket ends. */
  serve(socket: Duplex, onEnd: () => void): void {
    void this.#volumeServers.closeAll(); // an earlier server's
    const send = serveRoot(socket, this.#handlers(), () => {
      void this.#stopWatching?.();
      onEnd();
    });
    const { log } = this.#options;
    this.#stopWatching = watchDenials({ gate: this.#networks.gate, instances: this.#instances, send, log });
  }

  #handlers(): RootHandlers {
    const { store } = this.#options.paths;
    const instances = this.#instances;
    return {
      survivors: async () => instances.running(),
      probe: ({ runtime }) => {
        const wanted = [...this.#drivers.values()].filter(
          ({ name }) => runtime === undefined || name === runtime,
        );
        return Promise.all(
          wanted.map(async (driver) => ({ name: driver.name, result: await driver.probe() })),
        );
      },
      create: async ({ template, runtime, limits: wanted }) => {
        const { digest, root } = await this.#templateRoot(template);
        const instance = await instances.create({
          runtime,
          template,
          templateDigest: digest,
          templateRoot: root,
          limits: wanted,
        });
        return this.#withStart(instance);
      },
      snapshot: async (params) => {
        const { templateDigest } = instances.find(params.id);
        return instances.snapshot({ ...params, templateRoot: await this.#rootOf(templateDigest) });
      },
      restore: async (params) => {
        const { templateDigest } = await this.#snapshots.open(params.snapshotId);
        const templateRoot = await this.#rootOf(templateDigest);
        return this.#withStart(await instances.restore({ ...params, templateRoot }));
      },
      snapshots: () => this.#snapshots.list(),
      removeSnapshot: async ({ snapshotId }) => {
        await instances.removeSnapshot(snapshotId);
        return {};
      },
      setLimits: async ({ id, limits: wanted }) => {
        await instances.setLimits(id, wanted);
        return {};
      },
      attachVolumes: async ({ id, volumes }) => {
        await instances.attachVolumes(id, volumes);
        return {};
      },
      createVolume: async ({ volumeId, from, mib, inodes }) => {
        await this.#volumes.create(volumeId, { mib, inodes }, from);
        return {};
      },
      openVolumeFiles: async ({ volumeId, readOnly }) => ({
        stream: await this.#volumeServers.open(volumeId, readOnly),
      }),
      closeVolumeFiles: async ({ volumeId }) => {
        await this.#volumeServers.close(volumeId);
        this.#volumes.unmountIdleLater();
        return {};
      },
      removeVolume: async ({ volumeId }) => {
        await this.#volumeServers.close(volumeId);
        await this.#volumes.remove(volumeId);
        return {};
      },
      volumes: () => this.#volumes.list(),
      inspect: ({ id }) => instances.inspect(id),
      inspectAll: ({ ids }) => instances.inspectAll(ids),
      destroy: async ({ id }) => {
        const last = await instances.destroy(id);
        await this.#builds.ended(id);
        return last;
      },
      templates: () => listTemplates(store),
      buildTemplate: ({ template }, onProgress) =>
        buildTemplate({ storeDir: store, name: template, onProgress }),
      removeTemplate: async ({ template }) => {
        await removeTemplate(store, template);
        return {};
      },
      pullImage: ({ source }, onProgress) =>
        this.#builds.pull(source, (message) => onProgress({ phase: 'pull', percent: 0, message })),
      hasLayer: async ({ digest }) => ({ has: await this.#builds.has(digest) }),
      startLayer: (params) => this.#builds.start(params),
      sealLayer: ({ id, digest }) => this.#builds.seal(id, digest),
      defineImage: async ({ layers, settings }) => ({
        digest: await this.#layers.defineImage(layers, settings),
      }),
      collectImages: (params) => this.#collect(params),
      diskUse: () => this.#diskUse.list(),
      removeOwnerless: async ({ kind, id }) => {
        await this.#diskUse.remove(kind, id);
        return {};
      },
    };
  }

  /** Drivers let go of a template's root before its layers go. */
  async #collect(
    params: RootMethods['collectImages']['params'],
  ): Promise<RootMethods['collectImages']['result']> {
    if (!params.dryRun) {
      const going = await this.#layers.collect({ ...params, dryRun: true });
      for (const digest of going.images) {
        const root = await this.#rootOf(digest).catch(() => undefined);
        if (root === undefined) continue;
        for (const driver of this.#drivers.values()) await driver.forget?.(root);
      }
    }
    return this.#layers.collect(params);
  }

  /** Gives back what no sandbox needs; sandboxes go on. With none left, nothing of Casemate is left on the host. */
  async stop(): Promise<void> {
    await this.#stopWatching?.();
    await this.#volumeServers.closeAll();
    await this.#instances.stop();
    if (this.#instances.running().length > 0) return;
    await this.#volumes.unmountIdle();
    for (const driver of this.#drivers.values()) await driver.release();
    await this.#layers.release();
    await this.#networks.closeGate();
    this.#cgroups.removeParent();
  }
}
