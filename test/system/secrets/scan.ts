/** Planted values, and looking for them wherever a process or a file could hold them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const canary = (): string => `canary${randomBytes(16).toString('hex')}`;
const scanner = fileURLToPath(new URL('./scan.py', import.meta.url));

export interface Scan {
  readonly found: Readonly<Record<string, readonly string[]>>;
  readonly read: { readonly files: number; readonly bytes: number; readonly memoryBytes: number };
}

export function scan(job: object): Scan {
  const ran = spawnSync('python3', [scanner], { input: JSON.stringify(job), encoding: 'utf8' });
  assert.equal(ran.status, 0, ran.stderr);
  return JSON.parse(ran.stdout) as Scan;
}

/** Processes whose arguments or control group hold a text. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return ['cmdline', 'cgroup'].some((file) => readFileSync(`/proc/${pid}/${file}`).includes(text));
      } catch {
        return false; // it has ended
      }
    })
    .map(Number);
}
