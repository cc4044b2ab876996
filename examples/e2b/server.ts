/** A long-running server: starts it inside, visits it by its preview URL, and finds it again from another client. */
import { Sandbox } from '@e2b/code-interpreter';

const sandbox = await Sandbox.create({ timeoutMs: 10 * 60_000 });
try {
  await sandbox.files.write('site/index.html', '<h1>Hello from a sandbox</h1>');
  await sandbox.commands.run('python3 -m http.server 3000 --directory site', {
    background: true,
    timeoutMs: 0,
  });
  const url = `https://${sandbox.getHost(3000)}`;
  let response = await fetch(url);
  for (let tries = 0; tries < 50 && response.status === 502; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    response = await fetch(url);
  }
  console.log(`${response.status} ${await response.text()}`);
  const again = await Sandbox.connect(sandbox.sandboxId);
  const running = await again.commands.list();
  console.log(`still there: ${running.some(({ args }) => args.join(' ').includes('http.server'))}`);
} finally {
  await sandbox.kill();
}
