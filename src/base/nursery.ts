/** Frees the short-lived buffers of streams in time. */

/** The nursery is looked through once so many bytes have come: half a millisecond for each 30 ms of a fast transfer. */
const everyBytes = 4 * 1024 * 1024;

let sinceLast = 0;

/**
 * Says that so many bytes have come in a buffer of their own. V8 counts what lies outside of its heap late: without this a
 * fast transfer takes up to 40 MiB before the first of its buffers is freed. Does nothing in a process without `--expose-gc`.
 */
export function cameInBuffer(bytes: number): void {
  sinceLast += bytes;
  if (sinceLast < everyBytes) return;
  sinceLast = 0;
  void globalThis.gc?.({ type: 'minor', execution: 'sync' });
}
