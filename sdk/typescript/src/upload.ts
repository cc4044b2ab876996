/** Whatever holds bytes, as the body of a request. */
import type { RequestBody } from './transport.ts';

/** Text (as UTF-8), bytes, a blob, or a stream of bytes. */
export type Bytes = string | Uint8Array | Blob | ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

export function bodyOf(data: Bytes): RequestBody {
  if (typeof data === 'string' || data instanceof Uint8Array) return data;
  if (data instanceof Blob || data instanceof ReadableStream) return data;
  const iterator = data[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
