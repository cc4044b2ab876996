/** What the sections of the benchmark share: the figures so far, and the steps that several of them take. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type CreateOptions, Sandbox } from '../sdk/typescript/src/index.ts';
import type { TestServer } from '../test/system/server.ts';
import { type Figure, printTable } from './stats.ts';

export const figures: Figure[] = [];
export const mib = 1024 * 1024;

export function add(made: Figure): void {
  figures.push(made);
  printTable([made]);
}

export function connectionOf(server: TestServer): { url: string; apiKey: string } {
  return { url: server.url, apiKey: server.apiKey };
}

/** SDK create until the first `echo` is answered. */
export async function firstAnswer(
  server: TestServer,
  options: CreateOptions = {},
): Promise<{ ms: number; sandbox: Sandbox }> {
  const from = performance.now();
  const sandbox = await Sandbox.create({ ...connectionOf(server), template: 'base', ...options });
  await sandbox.exec(['echo', 'ready']);
  return { ms: performance.now() - from, sandbox };
}

export async function waitForPool(server: TestServer, ready: number, runtime = 'gvisor'): Promise<void> {
  for (let round = 0; round < 600; round += 1) {
    const pool = (await server.client.pools.list()).find((candidate) => candidate.runtime === runtime);
    if ((pool?.ready ?? 0) >= ready) return;
    await sleep(100);
  }
  throw new Error(`the pool never had ${ready} warm sandboxes`);
}
