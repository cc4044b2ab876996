/** Which server the CLI talks to, and with which key. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { Casemate, type ConnectionOptions, Sandbox } from '../../sdk/typescript/src/index.ts';

interface GlobalFlags {
  url?: string;
  key?: string;
  keyFile?: string;
  json?: boolean;
}

export function globalFlags(program: Command): GlobalFlags {
  return program.opts<GlobalFlags>();
}

/** Flags, then the environment, then the key that a server on this machine made. */
export function connectionOf(program: Command): ConnectionOptions {
  const { url, key, keyFile } = globalFlags(program);
  const dataDir = process.env.CASEMATE_DATA_DIR ?? '/var/lib/casemate';
  const file = keyFile ?? join(dataDir, 'server', 'admin.key');
  const fromFile = existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  const apiKey = key ?? (keyFile === undefined ? process.env.CASEMATE_API_KEY : undefined) ?? fromFile;
  return { ...(url === undefined ? {} : { url }), ...(apiKey === undefined ? {} : { apiKey }) };
}

export function clientOf(program: Command): Casemate {
  return new Casemate(connectionOf(program));
}

export function sandboxOf(program: Command, id: string): Promise<Sandbox> {
  return Sandbox.connect(id, connectionOf(program));
}
