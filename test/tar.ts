/** Makes tar archives by hand: those that no honest program writes. */

export interface TarEntry {
  readonly name: string;
  /** `0` file, `1` hard link, `2` symlink, `4` device, `5` folder, `6` pipe. */
  readonly type: string;
  readonly content?: string | Uint8Array;
  readonly target?: string;
  readonly mode?: number;
}

const blockBytes = 512;

export function tarOf(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(partsOf), Buffer.alloc(2 * blockBytes)]);
}

function partsOf({ name, type, content = '', target = '', mode = 0o644 }: TarEntry): Buffer[] {
  const body = Buffer.from(content);
  const longer = [
    ...(name.length > 100
      ? [blockOf('././@LongLink', 'L', name.length + 1), padded(Buffer.from(`${name}\0`))]
      : []),
  ];
  return [...longer, blockOf(name, type, body.length, { target, mode }), padded(body)];
}

function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((blockBytes - (body.length % blockBytes)) % blockBytes)]);
}

function blockOf(name: string, type: string, size: number, { target = '', mode = 0o644 } = {}): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;
  block.write(name.slice(0, 100), 0);
  block.write(octal(mode, 7), 100);
  block.write(octal(1000, 7), 108);
  block.write(octal(1000, 7), 116);
  block.write(octal(size, 11), 124);
  block.write(octal(0, 11), 136);
  block.write('        ', 148);
  block.write(type, 156);
  block.write(target, 157);
  block.write('ustar  \0', 257); // GNU's, whose long names are entries of their own
  block.write(octal(7, 7), 329);
  block.write(octal(0, 7), 337);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
