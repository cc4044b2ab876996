/** Streaming: shows what a long program says while it runs, answers its question, and ends it early. */
import { Sandbox } from 'e2b';

const sandbox = await Sandbox.create();
try {
  await sandbox.commands.run('for i in 1 2 3; do echo "step $i"; sleep 0.2; done', {
    onStdout: (text) => console.log(text.trimEnd()),
  });
  const asking = await sandbox.commands.run('read -r name; echo "hello $name"', {
    background: true,
    stdin: true,
  });
  await sandbox.commands.sendStdin(asking.pid, 'Ada\n');
  console.log((await asking.wait()).stdout.trimEnd());
  const endless = await sandbox.commands.run('while true; do sleep 1; done', {
    background: true,
    timeoutMs: 0,
  });
  console.log(`ended early: ${await endless.kill()}`);
} finally {
  await sandbox.kill();
}
