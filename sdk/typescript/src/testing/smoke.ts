/** What the SDK does in another runtime: run by `runtimes.test.ts` in Node and in Bun; prints one line of JSON. */
import { Sandbox } from '../index.ts';

await using sbx = await Sandbox.create();
const heard: string[] = [];
const result = await sbx.exec('x', { onStderr: (text) => void heard.push(text), stdin: 'in' });
const controller = new AbortController();
const reason = await sbx
  .exec('forever', { signal: controller.signal, onStdout: () => controller.abort() })
  .catch((error: unknown) => (error as Error).name);

const megabytes = 64;
async function* pieces(): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(256 * 1024);
  for (let sent = 0; sent < megabytes * 4; sent += 1) yield piece;
}
const upFrom = performance.now();
const { size } = await sbx.files.write('/up', pieces());
const upMs = performance.now() - upFrom;
const downFrom = performance.now();
let downBytes = 0;
for await (const piece of await sbx.files.read('/down', { format: 'stream' })) downBytes += piece.length;
const downMs = performance.now() - downFrom;
const missing = await sbx.files.exists('/nowhere');
console.log(
  JSON.stringify({
    stdout: result.stdout,
    stderr: heard.join(''),
    reason,
    size,
    downBytes,
    missing,
    upMibPerSecond: Math.round((megabytes * 1000) / upMs),
    downMibPerSecond: Math.round((megabytes * 1000) / downMs),
  }),
);
