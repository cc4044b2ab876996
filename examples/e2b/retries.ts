/** Code that a model wrote, with retries: what goes wrong in the sandbox goes back into the next question. */
import { Sandbox } from '@e2b/code-interpreter';

/** Put your model here; this one learns from the error that it is told, as a good one does. */
async function askModel(task: string, lastError: string | undefined): Promise<string> {
  const names = lastError?.includes('NameError') ? 'import statistics\n' : '';
  return `# ${task}\n${names}statistics.median([4, 8, 15, 16, 23, 42])`;
}

const triesMax = 3;
const sandbox = await Sandbox.create();
try {
  let lastError: string | undefined;
  for (let round = 1; round <= triesMax; round += 1) {
    const code = await askModel('the median of some numbers', lastError);
    const { error, text } = await sandbox.runCode(code);
    if (error === undefined) {
      console.log(`try ${round}: ${text}`);
      break;
    }
    lastError = `${error.name}: ${error.value}`;
    console.log(`try ${round} failed: ${lastError}`);
  }
} finally {
  await sandbox.kill();
}
