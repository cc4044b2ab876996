/** A notebook-like program as a team on E2B has it, against the server that its environment names. */
import assert from 'node:assert/strict';
import type * as Interpreter from '@e2b/code-interpreter';
import { clientCalls } from '../e2b/client.ts';
import { Recorder } from '../e2b/surface.ts';

const sdk = (await import(process.env.SDK ?? '')) as Omit<typeof Interpreter, 'default'>;
const { Sandbox, TimeoutError } = sdk;
const recorder = new Recorder();
recorder.watch(Sandbox.prototype, 'sandbox');

const sandbox = await Sandbox.create({ timeoutMs: 120_000, envs: { GIVEN: 'at create' } });
try {
  const said: Interpreter.OutputMessage[] = [];
  const streamed = await sandbox.runCode('for i in range(3): print(i)\nx = 40; x + 2', {
    onStdout: (message) => void said.push(message),
  });
  assert.equal(streamed.text, '42');
  assert.equal(streamed.logs.stdout.join(''), '0\n1\n2\n');
  assert.equal(said.map(({ line }) => line).join(''), '0\n1\n2\n');
  const environment = await sandbox.runCode('import os; [os.environ["GIVEN"], os.environ["OWN"]]', {
    envs: { OWN: 'o' },
  });
  assert.equal(environment.text, "['at create', 'o']");
  assert.equal((await sandbox.runCode('x / 0')).error?.name, 'ZeroDivisionError');
  const chart = 'import matplotlib.pyplot as plt\nplt.plot([1, 2], [3, 4]); plt.title("T")\nplt.show()';
  const [picture] = (await sandbox.runCode(chart)).results;
  assert.match(picture?.png ?? '', /^iVBOR/);
  assert.equal(picture?.chart?.title, 'T');
  const context = await sandbox.createCodeContext({ cwd: '/tmp' });
  assert.equal((await sandbox.runCode('import os; os.getcwd()', { context })).text, '/tmp');
  await assert.rejects(sandbox.runCode('while True: pass', { timeoutMs: 500 }), TimeoutError);
  assert.equal((await sandbox.runCode('x')).text, '40');
  await contexts(context);
  for (const [part, shown] of [
    [streamed, 'Execution'],
    [picture, 'Result'],
  ] as const) {
    recorder.watch(Object.getPrototypeOf(part) as object, shown);
  }
  assert.match(JSON.stringify(streamed), /"logs":/);
  assert.ok(picture?.formats().includes('png'));
  picture?.toJSON();
} finally {
  await sandbox.kill();
}
await clientCalls(sdk, { apiKey: process.env.E2B_API_KEY ?? '' }, recorder);
console.log('all found');
console.log(JSON.stringify(Object.fromEntries(recorder.outcomes)));
process.exit(0); // the SDK keeps connections for its next call

async function contexts(context: Interpreter.Context): Promise<void> {
  assert.ok((await sandbox.listCodeContexts()).some(({ id }) => id === context.id));
  await sandbox.runCode('before = 1', { context });
  await sandbox.restartCodeContext(context);
  assert.equal((await sandbox.runCode('before', { context })).error?.name, 'NameError');
  await sandbox.removeCodeContext(context);
  assert.ok((await sandbox.listCodeContexts()).every(({ id }) => id !== context.id));
}
