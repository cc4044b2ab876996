/** A Next.js app: a template that has its packages, a page written into a sandbox of it, visited, changed, visited again. */
import { Sandbox, Template, waitForPort } from 'e2b';

const template = Template()
  .fromNodeImage('24-slim')
  .setWorkdir('/home/user/app')
  .setEnvs({ NEXT_TELEMETRY_DISABLED: '1' })
  .runCmd('mkdir -p pages/api')
  .npmInstall(['next@15', 'react@19', 'react-dom@19'])
  .setStartCmd('npx next dev', waitForPort(3000));
await Template.build(template, { alias: 'nextjs-app', cpuCount: 2, memoryMB: 2048 });

const sandbox = await Sandbox.create('nextjs-app', { timeoutMs: 10 * 60_000 });
try {
  const app = '/home/user/app';
  const url = `https://${sandbox.getHost(3000)}`;
  await sandbox.files.write(
    `${app}/pages/api/sum.js`,
    'export default (_, res) => res.json({ sum: 40 + 2 });',
  );
  await sandbox.files.write(`${app}/pages/index.js`, page('a sandbox'));
  console.log(await visit(url, 'Hello from a sandbox'));
  console.log(await visit(`${url}/api/sum`, 'sum'));
  await sandbox.files.write(`${app}/pages/index.js`, page('another page'));
  console.log(await visit(url, 'Hello from another page'));
} finally {
  await sandbox.kill();
}

function page(from: string): string {
  return `export default function Home() { return <h1>{'Hello from ' + '${from}'}</h1>; }`;
}

/** Next.js compiles a page when it is first asked for, and finds files that changed by itself. */
async function visit(url: string, words: string): Promise<string> {
  for (let tries = 0; tries < 60; tries += 1) {
    const response = await fetch(url);
    const text = await response.text();
    if (response.ok && text.includes(words))
      return `${response.status} ${/<h1>.*?<\/h1>/.exec(text)?.[0] ?? text}`;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error(`${url} never said ${words}`);
}
