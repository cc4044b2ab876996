/** Fetches an OCI image and unpacks it into a folder, with skopeo and umoci in the jail: hostile from the first byte. */
import { createHash } from 'node:crypto';
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { firstJailId, jailProgram, type JailOptions, runInJail } from './jail.ts';

/** Where an image comes from. */
export type ImageSource =
  /** `location` is what skopeo is told: `registry.example/library/python:3.12`. */
  | { readonly kind: 'registry'; readonly location: string; readonly insecure: boolean }
  /** A file as `docker save` or `skopeo copy … oci-archive:` writes it. */
  | { readonly kind: 'archive'; readonly file: string }
  /** A folder in OCI layout. */
  | { readonly kind: 'layout'; readonly folder: string };

export interface PullPlace {
  /** A folder of root's to make folders in, one of which the jail is built on. */
  readonly directory: string;
  /** A folder on a file system whose size bounds what is fetched and unpacked. */
  readonly disk: string;
  readonly cgroupJoinFiles: readonly string[];
}

const inspectMsMax = 60_000;
const fetchMsMax = 15 * 60_000;
const unpackMsMax = 15 * 60_000;
const layout = 'oci:/fetch/layout:image';

/** SHA-256 of the manifest that a registry has under this name now. @throws Error with what skopeo said. */
export async function registryDigest(
  source: ImageSource & { kind: 'registry' },
  jail: Pick<JailOptions, 'place' | 'cgroupJoinFiles'>,
): Promise<string> {
  const manifest = await runInJail({
    ...jail,
    network: true,
    argv: ['skopeo', 'inspect', '--raw', ...tlsOf(source, '--tls-verify'), `docker://${source.location}`],
    timeoutMs: inspectMsMax,
  });
  return createHash('sha256').update(manifest).digest('hex');
}

/**
 * Fetches and unpacks into `upper` of the disk, whose files belong to the jail's users.
 * @returns the image's configuration, JSON as it came: nothing here reads it.
 */
export async function pullImage(
  source: ImageSource,
  place: PullPlace,
  onProgress: (message: string) => void,
): Promise<string> {
  const work = join(place.disk, 'work');
  const upper = join(place.disk, 'upper');
  const jailPlace = join(place.directory, 'jail');
  for (const folder of [work, upper, jailPlace]) mkdirSync(folder, { mode: 0o755 });
  for (const folder of [work, upper]) chownSync(folder, firstJailId, firstJailId);
  const jail = { place: jailPlace, cgroupJoinFiles: place.cgroupJoinFiles };
  const from = fetchFrom(source);
  onProgress('fetching the image');
  await runInJail({
    ...jail,
    ...from.jail,
    writable: [[work, '/fetch']],
    argv: ['skopeo', '--insecure-policy', '--tmpdir', '/fetch', 'copy', ...from.flags, from.name, layout],
    timeoutMs: fetchMsMax,
  });
  const config = await runInJail({
    ...jail,
    readOnly: [[work, '/fetch']],
    argv: ['skopeo', 'inspect', '--config', layout],
    timeoutMs: inspectMsMax,
  });
  onProgress('unpacking the image');
  await runInJail({
    ...jail,
    readOnly: [[work, '/fetch']],
    writable: [[upper, '/upper']],
    // umoci makes the folder itself
    argv: ['umoci', 'raw', 'unpack', '--image', '/fetch/layout:image', '/upper/root'],
    timeoutMs: unpackMsMax,
  });
  await runInJail({
    ...jail,
    writable: [[upper, '/upper']],
    readOnly: [[jailProgram, '/finish']],
    argv: ['/finish', 'finish', '/upper/root'],
    timeoutMs: unpackMsMax,
  });
  return config;
}

function fetchFrom(source: ImageSource): {
  name: string;
  flags: string[];
  jail: Pick<JailOptions, 'network' | 'readOnly'>;
} {
  switch (source.kind) {
    case 'registry':
      return {
        name: `docker://${source.location}`,
        flags: tlsOf(source, '--src-tls-verify'),
        jail: { network: true },
      };
    case 'archive':
      // Compressing what is unpacked a moment later would take most of the time.
      return {
        name: 'docker-archive:/in',
        flags: ['--dest-compress-level', '1'],
        jail: { readOnly: [[source.file, '/in']] },
      };
    case 'layout':
      return { name: 'oci:/in', flags: [], jail: { readOnly: [[source.folder, '/in']] } };
  }
}

function tlsOf({ insecure }: { readonly insecure: boolean }, flag: string): string[] {
  return insecure ? [`${flag}=false`] : [];
}
