/** Takes the kernel proper out of a distribution's compressed image: these monitors start nothing else. */
import { existsSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../../base/child.ts';
import { CasemateError } from '../../base/errors.ts';
import { newId } from '../../base/ids.ts';
import type { Kernel } from '../qemu/binary.ts';

/** How an image's payload begins, and the program that unpacks it. */
const packings: readonly (readonly [program: string, magic: Buffer])[] = [
  ['lz4', Buffer.from([0x02, 0x21, 0x4c, 0x18])],
  ['xz', Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])],
  ['zstd', Buffer.from([0x28, 0xb5, 0x2f, 0xfd])],
];
const elf = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
const unpackMsMax = 300_000;
/** Offsets of the boot protocol (Linux `Documentation/arch/x86/boot.rst`). */
const header = { setupSectors: 0x1f1, signature: 0x202, payloadOffset: 0x248, payloadLength: 0x24c } as const;
/** The payload ends with its unpacked length. */
const lengthBytes = 4;

/** @returns the path of an uncompressed kernel, made once. @throws CasemateError `runtime_unavailable` */
export async function plainKernel(cacheDir: string, { image, version }: Kernel): Promise<string> {
  const file = join(cacheDir, `vmlinux-${version}`);
  if (existsSync(file)) return file;
  const payload = payloadOf(await readFile(image), version);
  const partial = join(cacheDir, `vmlinux.${newId(8)}.partial`);
  try {
    await unpack(payload, partial, version);
    const start = (await readFile(partial)).subarray(0, 4);
    if (!start.equals(elf)) throw unusable(version);
    await rename(partial, file);
    return file;
  } finally {
    await rm(partial, { force: true });
  }
}

function payloadOf(image: Buffer, version: string): Buffer {
  if (image.length < 1024 || image.toString('latin1', header.signature, header.signature + 4) !== 'HdrS')
    throw unusable(version);
  const sectors = image.readUInt8(header.setupSectors) || 4;
  const from = (sectors + 1) * 512 + image.readUInt32LE(header.payloadOffset);
  return image.subarray(from, from + image.readUInt32LE(header.payloadLength) - lengthBytes);
}

async function unpack(payload: Buffer, file: string, version: string): Promise<void> {
  const program = packings.find(([, magic]) => payload.subarray(0, magic.length).equals(magic))?.[0];
  if (program === undefined) throw unusable(version);
  const packed = `${file}.packed`;
  await writeFile(packed, payload);
  try {
    const script = 'exec "$1" -dc < "$2" > "$3"';
    await runCommand(['sh', '-c', script, 'unpack', program, packed, file], { timeoutMs: unpackMsMax });
  } finally {
    await rm(packed, { force: true });
  }
}

function unusable(version: string): CasemateError {
  return new CasemateError('runtime_unavailable', `Kernel ${version} is packed in a way that is not known.`);
}
