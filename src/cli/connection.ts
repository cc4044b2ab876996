/** Which server the CLI talks to, and with which key. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { harmless } from './harmless.ts';
import { Casemate, CasemateError, type ConnectionOptions, Sandbox } from '../../sdk/typescript/src/index.ts';

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
  const flagFile = program.getOptionValueSource('keyFile') === 'cli' ? keyFile : undefined;
  const apiKey =
    key ?? (flagFile === undefined ? process.env.CASEMATE_API_KEY : undefined) ?? keyFrom(keyFile);
  return { ...(url === undefined ? {} : { url }), apiKey };
}

function keyFrom(keyFile: string | undefined): string {
  const file = keyFile ?? join(process.env.CASEMATE_DATA_DIR ?? '/var/lib/casemate', 'server', 'admin.key');
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === 'ENOENT' ? 'does not exist' : code === 'EACCES' ? 'is not readable for you' : String(code);
    throw new CasemateError('unauthenticated', `There is no API key, and the key file ${file} ${reason}.`, {
      hint: 'Set CASEMATE_API_KEY or pass --key-file; `casemate serve` prints where the first key lies.',
    });
  }
}

export function clientOf(program: Command): Casemate {
  return new Casemate(connectionOf(program));
}

/** @throws CasemateError with the id that was meant, where one that runs begins like the one given. */
export async function sandboxOf(program: Command, id: string): Promise<Sandbox> {
  const connection = connectionOf(program);
  if (/^[a-z0-9]{20}$/.test(id)) return Sandbox.connect(id, connection);
  const hint = await likelyId(id, connection);
  throw new CasemateError(
    'invalid_request',
    `"${harmless(id)}" is not a sandbox id: those have 20 letters and digits.`,
    {
      hint: hint === undefined ? '`casemate ls` lists them.' : `Did you mean ${hint}?`,
    },
  );
}

async function likelyId(beginning: string, connection: ConnectionOptions): Promise<string | undefined> {
  if (!/^[a-z0-9]{2,19}$/.test(beginning)) return undefined;
  for await (const { id } of Sandbox.list(connection)) if (id.startsWith(beginning)) return id;
  return undefined;
}
