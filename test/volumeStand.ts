/** One volume with the process that serves its files, and nothing else of a server, for tests. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { newId } from '../src/base/ids.ts';
import type { Log } from '../src/base/log.ts';
import { openAgentStream } from '../src/guest/stream.ts';
import { VolumeClient } from '../src/guest/volumeClient.ts';
import { VolumeServers } from '../src/rootd/volumeServers.ts';
import { Volumes } from '../src/rootd/volumes.ts';
import { CgroupSet } from '../src/runtime/host/cgroup.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Log;
export const agentDir = fileURLToPath(new URL('../build/agent', import.meta.url));

export class VolumeStand {
  /** Holds everything of it; root's. */
  readonly folder = mkdtempSync(join(tmpdir(), 'casemate-volume-'));
  readonly id = newId();
  readonly cgroups = new CgroupSet(`casemate-test-${newId(6)}`);
  readonly volumes: Volumes;
  readonly servers: VolumeServers;
  /** Where the host has mounted it. */
  root = '';

  constructor() {
    mkdirSync(join(this.folder, 'sandboxes'));
    chmodSync(this.folder, 0o711);
    this.volumes = new Volumes(join(this.folder, 'volumes'), (id) => this.servers.isServing(id), quiet);
    this.servers = new VolumeServers({
      agentDir,
      sandboxesDir: join(this.folder, 'sandboxes'),
      cgroups: this.cgroups,
      streamOwner: { uid: 0, gid: 0 },
      mounted: (id) => this.volumes.mounted(id),
      log: quiet,
    });
  }

  async make(mib = 32): Promise<void> {
    await this.volumes.create(this.id, { mib, inodes: 4096 });
    this.root = await this.volumes.mounted(this.id);
  }

  async attach(readOnly = false): Promise<VolumeClient> {
    return VolumeClient.attach(await openAgentStream(await this.servers.open(this.id, readOnly)));
  }

  async close(): Promise<void> {
    await this.servers.closeAll();
    await this.volumes.unmountIdle();
    this.cgroups.removeParent();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function* pieces(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part);
}

export async function textOf(body: Readable): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of body) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
