/** A backup on its way: whether it is whole stands in its last block. */
import { CasemateError, errorFromWire } from './errors.ts';

const blockBytes = 512;
const endName = 'casemate-backup-end ';

/** Passes a backup on, and fails behind its last byte where that does not say that all of it is there. */
export function wholeBackup(): TransformStream<Uint8Array, Uint8Array> {
  let last = new Uint8Array(0);
  return new TransformStream({
    transform(piece, controller) {
      controller.enqueue(piece);
      const both = new Uint8Array(last.length + Math.min(piece.length, blockBytes));
      both.set(last);
      both.set(piece.subarray(-blockBytes), last.length);
      last = both.slice(-blockBytes);
    },
    flush() {
      const text = new TextDecoder().decode(last);
      if (!text.startsWith(endName))
        throw new CasemateError('backup_damaged', 'The backup ended before its last block.');
      const end = JSON.parse(text.slice(endName.length)) as { error?: unknown };
      if (end.error !== undefined) throw errorFromWire(end);
    },
  });
}
