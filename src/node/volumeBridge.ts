/** Carries a volume's requests between a machine's kernel and the process that serves the volume; understands none of them. */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestClient } from '../guest/client.ts';
import type { VolumeClient } from '../guest/volumeClient.ts';
import type { AttachedVolume } from '../rootd/protocol.ts';

/** How long to wait until the next try, where what serves the volume has ended. */
const retryMs = 250;

export interface BridgeOptions {
  readonly guest: GuestClient;
  readonly volume: AttachedVolume;
  /** Resolves when the guest has it mounted: only then can its requests be carried. */
  readonly mounted: Promise<void>;
  readonly useFiles: () => Promise<{ readonly files: VolumeClient; readonly done: () => void }>;
}

/**
 * Resolves when requests flow for the first time; they go on until the guest's connection ends. What serves the volume may
 * end before: it is started again, and the guest sends again what was not answered.
 * @throws CasemateError where it does not work at first
 */
export async function bridgeVolume(options: BridgeOptions): Promise<void> {
  const { guest } = options;
  let open = true;
  void guest.closed.then(() => {
    open = false;
  });
  let { ended } = await carry(options);
  void (async () => {
    for (;;) {
      await ended;
      if (!open) return;
      ended = carry(options).then(
        (again) => again.ended,
        () => sleep(retryMs),
      );
    }
  })();
}

/** Resolves when requests can flow. */
async function carry({ guest, volume, mounted, useFiles }: BridgeOptions): Promise<{ ended: Promise<void> }> {
  const { slot, readOnly, subpath } = volume;
  mounted.catch(() => {}); // told below
  const { files, done } = await useFiles();
  let opening: Promise<Duplex> | undefined;
  let ends: readonly [Duplex, Duplex];
  try {
    if (subpath !== undefined) await mounted; // the folder is made on the way
    opening = files.fuse({ path: subpath ?? '/', readOnly });
    opening.catch(() => {}); // told below
    await mounted;
    ends = [await opening, await guest.serveVolume({ slot })];
  } catch (error) {
    opening?.then(
      (outside) => outside.destroy(),
      () => {},
    );
    done();
    throw error;
  }
  return { ended: joined(...ends).finally(done) };
}

/** Everything of one goes to the other, at the pace of the slower; with one of them both end. */
function joined(one: Duplex, other: Duplex): Promise<void> {
  one.pipe(other);
  other.pipe(one);
  return new Promise((resolve) => {
    for (const end of [one, other]) {
      end.on('error', () => {}); // 'close' follows
      end.once('close', () => {
        one.destroy();
        other.destroy();
        resolve();
      });
    }
  });
}
