/** `make demo`: the main job on real input, then hostile programs, each stopped and on record; leaves nothing running. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hostilePrograms, type HostileProgram, sourceOf } from '../attack/programs.ts';
import { Sandbox } from '../sdk/typescript/src/index.ts';
import { needTemplates, startServer, type TestServer } from '../test/system/server.ts';
import { rootProcesses } from '../test/system/host.ts';

const outputFolder = new URL('../build/demo/', import.meta.url);
const started = performance.now();

/** Runs one step and prints what it took. */
async function step<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
  const from = performance.now();
  const result = await work();
  console.log(`${(performance.now() - from).toFixed(0).padStart(7)} ms  ${what}`);
  return result;
}

function say(text: string): void {
  console.log(`            ${text}`);
}

async function analyse(sbx: Sandbox): Promise<void> {
  const dataset = new URL('../node_modules/vega-datasets/data/stocks.csv', import.meta.url);
  await step('upload a real CSV', async () =>
    sbx.files.write('/home/user/stocks.csv', await readFile(dataset)),
  );
  const program = await readFile(new URL('analysis.py', import.meta.url));
  await step('upload the program that a model wrote', () =>
    sbx.files.write('/home/user/analysis.py', program),
  );
  const result = await step('run pandas and matplotlib', () =>
    sbx.exec('python3 analysis.py', { timeoutMs: 120_000 }),
  );
  if (result.exitCode !== 0) throw new Error(`the analysis failed:\n${result.stderr}`);
  say(result.stdout.trim());
  const chart = await step('download the chart', () =>
    sbx.files.read('/home/user/chart.png', { format: 'bytes' }),
  );
  if (Buffer.from(chart).toString('latin1', 1, 4) !== 'PNG') throw new Error('the chart is not a PNG');
  await mkdir(outputFolder, { recursive: true });
  await writeFile(new URL('chart.png', outputFolder), chart);
  say(`build/demo/chart.png, ${chart.length} bytes`);
}

/** Runs a hostile program in a sandbox of its own and tells from the outside whether it was stopped. */
async function attack(server: TestServer, program: HostileProgram, args: string[] = []): Promise<void> {
  const connection = { url: server.url, apiKey: server.apiKey };
  const sbx = await Sandbox.create({
    ...connection,
    template: 'python',
    limits: { diskMib: 256, memoryMib: 512 },
  });
  await sbx.files.write('/home/user/hostile.py', await sourceOf(program));
  const ran = await step(`hostile: ${program.tries}`, () =>
    sbx.exec(['python3', '/home/user/hostile.py', ...args], { timeoutMs: 8000 }).then(
      (result) => ({ result, error: undefined }),
      (error: unknown) => ({ result: undefined, error }),
    ),
  );
  say(await judge(sbx, program, ran));
  await sbx.kill();
}

type Ran = { result: Awaited<ReturnType<Sandbox['exec']>> | undefined; error: unknown };

/** One line on how it ended. @throws Error where the program was not stopped. */
async function judge(sbx: Sandbox, program: HostileProgram, { result, error }: Ran): Promise<string> {
  const lastLine = result?.stdout.trim().split('\n').at(-1) ?? '';
  const escaped = /LEAK|REACHED|no error before/.test(result?.stdout ?? '');
  if (escaped) throw new Error(`${program.name} was not stopped:\n${result?.stdout}`);
  if (result !== undefined) return `stopped: ${program.stopped} (${result.reason}; "${lastLine}")`;
  const info = await endOf(sbx);
  if (info.state !== 'ended') throw new Error(`${program.name}: ${String(error)}`);
  return `stopped: the sandbox ended alone (${info.endReason})`;
}

/** The record of a sandbox whose end is a matter of moments. */
async function endOf(sbx: Sandbox): Promise<Awaited<ReturnType<Sandbox['info']>>> {
  for (let round = 0; round < 50; round += 1) {
    const info = await sbx.info();
    if (info.state === 'ended') return info;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return sbx.info();
}

/** What the log holds of all this: limits hit and places refused. */
async function showAudit(server: TestServer): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 2500)); // refusals are read from the kernel every 1.5 s
  const events = await server.client.audit.list({ limit: 100 });
  const counts = new Map<string, number>();
  for (const event of events) counts.set(event.action, (counts.get(event.action) ?? 0) + 1);
  say([...counts].map(([action, count]) => `${action} × ${count}`).join(', '));
  const refused = events.filter((event) => event.action === 'network.denied');
  const metadata = refused.find((event) => event.detail.host === '169.254.169.254');
  if (metadata === undefined) throw new Error('the attempt on the metadata address is not in the audit log');
  say(
    `for example: ${metadata.at} sandbox ${metadata.sandboxId} was refused 169.254.169.254:${metadata.detail.port}`,
  );
  const limit = events.find((event) => event.action === 'limit.hit');
  if (limit === undefined) throw new Error('no limit that was hit is in the audit log');
}

async function main(): Promise<void> {
  const server = await step('start the server', () =>
    startServer({ log: process.env.CASEMATE_DEMO_LOG ? 'inherit' : 'ignore' }),
  );
  try {
    await step('have the template', () => needTemplates(server, ['python']));
    const connection = { url: server.url, apiKey: server.apiKey };
    {
      await using sbx = await step('create a sandbox', () =>
        Sandbox.create({ ...connection, template: 'python', runtime: 'gvisor' }),
      );
      await step('first answer', () => sbx.exec('echo ready'));
      await analyse(sbx);
    }
    const asRoot = await rootProcesses(server.process.pid ?? 0);
    say(`processes of Casemate that run as root: ${asRoot.join(', ')}`);
    const marker = join(server.dataDir, 'server', 'admin.key');
    await attack(server, hostilePrograms.hostFiles, [server.apiKey, marker]);
    await attack(server, hostilePrograms.network);
    await attack(server, hostilePrograms.forkBomb);
    await attack(server, hostilePrograms.diskFill);
    await attack(server, hostilePrograms.memoryHog);
    await step('read the audit log', () => showAudit(server));
  } finally {
    await step('end everything', () => server.close());
  }
  console.log(`\nDone in ${((performance.now() - started) / 1000).toFixed(1)} s; nothing is left running.`);
}

await main();
