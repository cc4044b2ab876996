/** The digest of a file that is mostly holes: what is zero is not read where the file system knows it, the rest side by side. */

import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { runCommand } from '../base/child.ts';

const chunkBytes = 1024 * 1024;
/** As many as Node has threads for reading and hashing. */
const atOnceMax = 4;
const zeros = Buffer.alloc(chunkBytes);
const lookMsMax = 60_000;

/**
 * Node cannot ask a file for its holes; perl can, and is part of every Debian. 3 and 4 are SEEK_DATA and SEEK_HOLE, after
 * which a file that is not known to have holes is one piece of data: lseek(2).
 */
const script =
  'open my $f, "<", shift or die "$!\\n"; my $end = -s $f; my $at = 0;' +
  'while ($at < $end and defined(my $from = sysseek($f, $at, 3))) { $at = sysseek($f, $from, 4); print 0 + $from, " ", 0 + $at, "\\n" }' +
  'exit($at >= $end || $!{ENXIO} ? 0 : 1)';

/** Offsets of the chunks that hold data, in order. */
async function dataChunks(path: string): Promise<number[]> {
  const { stdout } = await runCommand(['perl', '-MErrno', '-e', script, path], { timeoutMs: lookMsMax });
  const offsets = new Set<number>();
  for (const line of stdout.split('\n').filter((text) => text !== '')) {
    const [from = 0, to = 0] = line.split(' ').map(Number);
    for (let at = from - (from % chunkBytes); at < to; at += chunkBytes) offsets.add(at);
  }
  return [...offsets];
}

/**
 * SHA-256 of the file's size and of the offset and SHA-256 of every chunk that is not zero: the same whether zeros are
 * holes or not, and another one whatever byte changes.
 */
export async function digestFile(path: string): Promise<{ bytes: number; sha256: string }> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const offsets = size <= chunkBytes ? [0] : await dataChunks(path);
    const digests: (Buffer | undefined)[] = [];
    let next = 0;
    const work = async (): Promise<void> => {
      const buffer = Buffer.alloc(chunkBytes);
      for (let index = next++; index < offsets.length; index = next++)
        digests[index] = await digestChunk(file, offsets[index] ?? 0, buffer);
    };
    await Promise.all(Array.from({ length: atOnceMax }, work));
    const all = createHash('sha256').update(`${size}\n`);
    for (const [index, digest] of digests.entries())
      if (digest !== undefined) all.update(`${offsets[index]}\n`).update(digest);
    return { bytes: size, sha256: all.digest('hex') };
  } finally {
    await file.close();
  }
}

/** @returns nothing for one that is zero all over. */
async function digestChunk(file: FileHandle, offset: number, buffer: Buffer): Promise<Buffer | undefined> {
  let length = 0;
  while (length < chunkBytes) {
    const { bytesRead } = await file.read(buffer, length, chunkBytes - length, offset + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  const chunk = buffer.subarray(0, length);
  if (chunk.equals(zeros.subarray(0, length))) return undefined;
  // On another thread, which createHash is not.
  return Buffer.from(await crypto.subtle.digest('SHA-256', chunk));
}
