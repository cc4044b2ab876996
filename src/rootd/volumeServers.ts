/** Starts and ends the jailed processes that serve the files of volumes without a sandbox. Reads nothing of what they say. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../base/child.ts';
import type { Log } from '../base/log.ts';
import type { AgentStreamAddress, SandboxLimits } from '../runtime/driver.ts';
import type { CgroupSet } from '../runtime/host/cgroup.ts';

export interface VolumeServersOptions {
  /** The folder that holds the guest agent, whose program serves volumes as well. */
  readonly agentDir: string;
  /** What is left in it by a crash is taken away with what sandboxes leave there. */
  readonly sandboxesDir: string;
  readonly cgroups: CgroupSet;
  readonly streamOwner: { readonly uid: number; readonly gid: number };
  /** Mounts a volume and answers where. */
  readonly mounted: (volumeId: string) => Promise<string>;
  readonly log: Log;
}

interface Serving {
  readonly address: AgentStreamAddress;
  readonly child: ChildProcess;
  /** Resolves when nothing of it is left. */
  readonly gone: Promise<void>;
  ending: boolean;
}

/** The host's number of the jail's root; no user of the host has it, nor one of the 2^24 after it. */
const firstJailId = 0x6200_0000;
const jailLimits: SandboxLimits = { cpus: 2, memoryMib: 256, diskMib: 0, pids: 64 };

export class VolumeServers {
  readonly #options: VolumeServersOptions;
  readonly #serving = new Map<string, Promise<Serving>>();

  constructor(options: VolumeServersOptions) {
    this.#options = options;
  }

  isServing(volumeId: string): boolean {
    return this.#serving.has(volumeId);
  }

  /** Where its files are served; starts what serves them. @throws CasemateError `not_found` */
  async open(volumeId: string, readOnly: boolean): Promise<AgentStreamAddress> {
    for (;;) {
      const known = this.#serving.get(volumeId);
      const serving = known === undefined ? undefined : await known;
      if (serving?.ending === false) return serving.address;
      await serving?.gone;
      if (this.#serving.has(volumeId)) continue;
      const starting = this.#start(volumeId, readOnly);
      this.#serving.set(volumeId, starting);
      starting.catch(() => this.#serving.delete(volumeId));
    }
  }

  async #start(volumeId: string, readOnly: boolean): Promise<Serving> {
    const { agentDir, sandboxesDir, cgroups, streamOwner, mounted } = this.#options;
    const folder = await mounted(volumeId);
    const id = `files-${volumeId}`;
    const directory = join(sandboxesDir, id);
    const [hostToGuest, guestToHost] = [join(directory, 'in'), join(directory, 'out')];
    const streams: number[] = [];
    try {
      mkdirSync(directory, { mode: 0o711 });
      await runCommand(['mkfifo', '-m', '600', hostToGuest, guestToHost]);
      for (const fifo of [hostToGuest, guestToHost]) {
        chownSync(fifo, streamOwner.uid, streamOwner.gid);
        streams.push(openSync(fifo, constants.O_RDWR)); // never waits, and never sees the end when the server goes
      }
      cgroups.create(id, jailLimits);
      const child = spawn(
        'setpriv',
        [
          ...['--pdeathsig', 'KILL', join(agentDir, 'guest-agent'), 'volume', 'serve'],
          ...['-folder', folder, '-first-id', String(firstJailId)],
          ...['-join', cgroups.joinFiles(id).join(',')],
          ...(readOnly ? ['-read-only'] : []),
        ],
        { stdio: [streams[0], streams[1], 'pipe'], env: {} },
      );
      const gone = this.#watch(child, volumeId, id, directory);
      return { address: { kind: 'fifo', hostToGuest, guestToHost }, child, gone, ending: false };
    } catch (error) {
      await this.#clear(id, directory);
      throw error;
    } finally {
      for (const descriptor of streams) closeSync(descriptor);
    }
  }

  async #watch(child: ChildProcess, volumeId: string, id: string, directory: string): Promise<void> {
    let said = ''; // by the process that is root: the jailed one has no stderr
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-500);
    });
    const code = await new Promise((resolve) => {
      child.once('error', resolve);
      child.once('close', resolve);
    });
    if (said !== '') this.#options.log.warn('volume_files_ended', { volumeId, code: String(code), said });
    await this.#clear(id, directory);
    this.#serving.delete(volumeId);
  }

  async #clear(id: string, directory: string): Promise<void> {
    await this.#options.cgroups.destroy(id);
    await rm(directory, { recursive: true, force: true });
  }

  /** Resolves when nothing of it is left. Idempotent. */
  async close(volumeId: string): Promise<void> {
    const serving = await this.#serving.get(volumeId)?.catch(() => undefined);
    if (serving === undefined) return;
    serving.ending = true;
    serving.child.kill('SIGKILL');
    await serving.gone;
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#serving.keys()].map((volumeId) => this.close(volumeId)));
  }
}
