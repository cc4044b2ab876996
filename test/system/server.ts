/** Starts a real server for a test, a demo or a benchmark: own data directory, shared template store, any free port. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { defaultDataDir } from '../../src/base/config.ts';
import { leftByServer } from './host.ts';
import { Casemate, Sandbox } from '../../sdk/typescript/src/index.ts';

const repository = join(dirname(fileURLToPath(import.meta.url)), '../..');
export const cliPath = join(repository, 'src/cli/casemate.mjs');

export interface TestServer {
  readonly url: string;
  readonly apiKey: string;
  readonly dataDir: string;
  readonly client: Casemate;
  readonly process: ChildProcess;
  /** Environment for the CLI and for programs that use the SDK. */
  readonly env: NodeJS.ProcessEnv;
  /** Kills every sandbox, stops the server and removes its data directory. Throws where anything is left of it. */
  close(): Promise<void>;
}

export interface ServerOptions {
  readonly pools?: readonly string[];
  /** Keeps the data directory of an earlier server. */
  readonly dataDir?: string;
  readonly port?: number;
  /** Where the server's log goes; nowhere by default, or where CASEMATE_TEST_LOG is set, to the test's stderr. */
  readonly log?: 'inherit' | 'ignore' | number;
  /** Programs that start the server: where it is to stand in other namespaces. */
  readonly launcher?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** More flags of `casemate serve`. */
  readonly flags?: readonly string[];
}

/** Whether a real server can run here; otherwise the reason for a skip. */
export function missingForServer(): string | undefined {
  if (process.getuid?.() !== 0) return 'a real server needs root';
  if (process.platform !== 'linux') return 'a real server needs Linux';
  return undefined;
}

/** Resolves when the API answers. */
export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'casemate-test-')));
  const storeDir = process.env.CASEMATE_STORE_DIR ?? join(defaultDataDir, 'store');
  const argv = [cliPath, '--json', 'serve', '--port', String(options.port ?? 0), '--data-dir', dataDir];
  for (const pool of options.pools ?? []) argv.push('--pool', pool);
  argv.push(...(options.flags ?? []));
  const [program = '', ...rest] = [...(options.launcher ?? []), process.execPath, ...argv];
  const child = spawn(program, rest, {
    stdio: [
      'ignore',
      'pipe',
      options.log ?? (process.env.CASEMATE_TEST_LOG === undefined ? 'ignore' : 'inherit'),
    ],
    env: { ...process.env, CASEMATE_STORE_DIR: storeDir, ...options.env },
    detached: true, // a test may kill the whole group, as a crash of the service would
  });
  const { url, keyFile } = await firstLine(child);
  const apiKey = readFileSync(keyFile, 'utf8').trim();
  const client = new Casemate({ url, apiKey });
  return {
    url,
    apiKey,
    dataDir,
    client,
    process: child,
    env: { ...process.env, CASEMATE_URL: url, CASEMATE_API_KEY: apiKey },
    close: async () => {
      await killAll({ url, apiKey });
      await stopProcess(child);
      await needNothingLeft(dataDir);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** The kernel takes some things away a moment after the last process. */
async function needNothingLeft(dataDir: string): Promise<void> {
  let left = leftByServer(dataDir);
  for (let round = 0; round < 50 && left.length > 0; round += 1) {
    await sleep(100);
    left = leftByServer(dataDir);
  }
  if (left.length > 0) throw new Error(`the server has left behind: ${left.join('; ')}`);
}

/** Ends a server's process with SIGTERM and resolves when it is gone. */
export async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  await gone;
}

/** The record of one that ends by itself. */
export async function endOf(sbx: Sandbox): Promise<Awaited<ReturnType<Sandbox['info']>>> {
  for (let round = 0; round < 300; round += 1) {
    const info = await sbx.info();
    if (info.state === 'ended') return info;
    await sleep(100);
  }
  throw new Error(`${sbx.id} has not ended`);
}

async function killAll(options: { url: string; apiKey: string }): Promise<void> {
  for await (const info of Sandbox.list(options)) {
    const sandbox = await Sandbox.connect(info.id, options).catch(() => undefined); // it may just have ended
    await sandbox?.kill();
  }
}

function firstLine(child: ChildProcess): Promise<{ url: string; keyFile: string }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the server was not ready within 60 s')), 60_000);
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`the server ended with ${code} before it was ready`));
    });
    if (child.stdout === null) return reject(new Error('the server has no stdout'));
    createInterface({ input: child.stdout }).once('line', (line) => {
      clearTimeout(timer);
      resolve(JSON.parse(line) as { url: string; keyFile: string });
    });
  });
}

/** Builds the templates that are missing, once per machine; says so on stderr because it takes a minute. */
export async function needTemplates(server: TestServer, names: readonly string[]): Promise<void> {
  for (const template of await server.client.templates.list()) {
    if (!names.includes(template.name) || template.ready) continue;
    process.stderr.write(`building template ${template.name}\n`);
    await server.client.templates.build(template.name);
  }
}
