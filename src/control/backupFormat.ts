/**
 * How a volume's backup is written: a tar archive that every `tar` reads, with a manifest in its global header, and behind
 * its end one block with the SHA-256 of everything before.
 */
import { createHash } from 'node:crypto';
import type { Static, TSchema } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import { BackupEnd, BackupManifest } from '../../schema/volumeBackups.ts';
import { CasemateError } from '../base/errors.ts';

/** Of tar; the last one of a backup is Casemate's. */
const blockBytes = 512;
const headName = 'casemate-volume-backup';
const endName = 'casemate-backup-end ';
const manifestBytesMax = 256 * 1024;

/** A pax global header: its comment is read by nobody else, and unpacked by none. */
export function headOf(manifest: BackupManifest): Buffer {
  const record = ` comment=${JSON.stringify(manifest)}\n`;
  const bytes = Buffer.byteLength(record);
  let length = bytes + String(bytes).length;
  if (String(length).length > String(bytes).length) length += 1; // its own digits count
  return Buffer.concat([headerOf(length), padded(Buffer.from(`${length}${record}`))]);
}

/** The fields of a tar header, each at its place; POSIX.1-2001, "pax Interchange Format". */
function headerOf(size: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  block.write(headName, 0);
  for (const [at, digits, value] of [
    [100, 7, 0o644],
    [108, 7, 0],
    [116, 7, 0],
    [124, 11, size],
    [136, 11, 0],
  ] as const)
    block.write(octal(value, digits), at);
  block.write('        g', 148);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)} `, 148);
  return block;
}

function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((blockBytes - (body.length % blockBytes)) % blockBytes)]);
}

export function endOf(end: BackupEnd): Buffer {
  const text = 'error' in end ? { error: { ...end.error, message: end.error.message.slice(0, 200) } } : end;
  const block = Buffer.alloc(blockBytes, ' ');
  block.write(`${endName}${JSON.stringify(text)}`);
  block.write('\n', blockBytes - 1);
  return block;
}

/**
 * Reads a backup as it comes in. Call `manifest`, then use up `content`, then `check`.
 * @throws CasemateError `backup_damaged` from each
 */
export class BackupReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #hash = createHash('sha256');
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done === true) return false;
    this.#held = this.#held.length === 0 ? Buffer.from(value) : Buffer.concat([this.#held, value]);
    return true;
  }

  #take(bytes: number): Buffer {
    const taken = this.#held.subarray(0, bytes);
    this.#held = this.#held.subarray(bytes);
    this.#hash.update(taken);
    return taken;
  }

  async #exactly(bytes: number): Promise<Buffer> {
    while (this.#held.length < bytes)
      if (!(await this.#more())) throw damaged('it ends before its files begin');
    return this.#take(bytes);
  }

  async manifest(): Promise<BackupManifest> {
    const header = await this.#exactly(blockBytes);
    const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
    if (!header.toString('latin1').startsWith(`${headName}\0`) || header[156] !== 'g'.charCodeAt(0))
      throw damaged('it is no backup of a volume');
    if (!(size > 0 && size <= manifestBytesMax)) throw damaged('its manifest has no size that can be');
    const body = await this.#exactly(Math.ceil(size / blockBytes) * blockBytes);
    const [, text] = /^\d+ comment=(.*)\n$/s.exec(body.toString('utf8', 0, size)) ?? [];
    return read(text, BackupManifest, 'its manifest is none of this version');
  }

  /** The archive itself. Left early it goes on where it was with the next call. */
  async *content(): AsyncGenerator<Buffer> {
    for (;;) {
      const ready = this.#held.length - blockBytes;
      if (ready > 0) yield this.#take(ready);
      else if (!(await this.#more())) return;
    }
  }

  /** Reads what is left, and answers what the last block says once everything before it is what was written. */
  async check(): Promise<{ sha256: string; entries: number; bytes: number }> {
    for await (const _ of this.content());
    const block = this.#held.toString('utf8');
    if (!block.startsWith(endName)) throw damaged('its end is missing');
    const end = read(block.slice(endName.length), BackupEnd, 'its last block is unreadable');
    if ('error' in end) throw damaged(`it could not be made whole: ${end.error.message} (${end.error.code})`);
    const found = this.#hash.digest('hex');
    if (found !== end.sha256) throw damaged(`its SHA-256 is ${found}, and was ${end.sha256}`);
    return end;
  }
}

function read<Shape extends TSchema>(text: string | undefined, shape: Shape, why: string): Static<Shape> {
  try {
    const value: unknown = JSON.parse(text ?? '');
    if (Value.Check(shape, value)) return value;
  } catch {} // no JSON
  throw damaged(why);
}

function damaged(why: string): CasemateError {
  return new CasemateError('backup_damaged', `The backup is damaged: ${why}.`);
}
