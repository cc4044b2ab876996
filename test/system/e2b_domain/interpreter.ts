/** A notebook-like program as a team on E2B has it, against the server that its environment names. */
import assert from 'node:assert/strict';
import type * as Interpreter from '@e2b/code-interpreter';

const { Sandbox, TimeoutError } = (await import(process.env.SDK ?? '')) as typeof Interpreter;

const sandbox = await Sandbox.create({ timeoutMs: 120_000, envs: { GIVEN: 'at create' } });
try {
  const heard: string[] = [];
  const streamed = await sandbox.runCode('for i in range(3): print(i)\nx = 40; x + 2', {
    onStdout: ({ line }) => void heard.push(line),
  });
  assert.equal(streamed.text, '42');
  assert.equal(streamed.logs.stdout.join(''), '0\n1\n2\n');
  assert.equal(heard.join(''), '0\n1\n2\n');
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
} finally {
  await sandbox.kill();
}
console.log('all found');
process.exit(0); // the SDK keeps connections for its next call
