/** The key that secrets are sealed with: from the environment, a command, or a file that the first start makes. */
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { runCommand } from '../base/child.ts';
import type { SystemUser } from '../base/config.ts';
import { CasemateError } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { secretKeyBytes } from './secretBox.ts';

export interface SecretKeySource {
  /** The variable's text, where the server was given one. It comes first. */
  readonly fromEnvironment?: string | undefined;
  /** Prints the key: a client of a key management service, run without rights. */
  readonly command?: readonly string[] | undefined;
  /** Made where it does not exist, readable by its owner alone. */
  readonly file: string;
  /** Whose a new file is, and who the command runs as. */
  readonly owner: SystemUser;
}

/** @throws CasemateError `secret_unreadable` that says what is wrong with the source; never what it held. */
export async function readSecretKey(source: SecretKeySource): Promise<Buffer> {
  if (source.fromEnvironment !== undefined) return parseKey(source.fromEnvironment, 'CASEMATE_SECRET_KEY');
  if (source.command !== undefined)
    return parseKey(await printed(source.command, source.owner), 'The command');
  return parseKey(fromFile(source.file, source.owner), source.file);
}

function fromFile(file: string, owner: SystemUser): string {
  if (!existsSync(file)) {
    writeFileSync(file, `${randomBytes(secretKeyBytes).toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
    chownSync(file, owner.uid, owner.gid);
  }
  if ((statSync(file).mode & 0o077) !== 0) {
    throw new CasemateError('secret_unreadable', `The key file ${file} can be read by others.`, {
      hint: `Run \`chmod 600 ${file}\`; where somebody may have read it, take a new key and set the secrets again.`,
    });
  }
  return readFileSync(file, 'utf8');
}

async function printed(command: readonly string[], { uid, gid }: SystemUser): Promise<string> {
  const as = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--no-new-privs'];
  try {
    const options = { timeoutMs: limits.secretKeyCommandMsMax };
    return (await runCommand([...as, ...command], options)).stdout;
  } catch (cause) {
    throw new CasemateError(
      'secret_unreadable',
      `The command for the key of secrets failed: ${String(cause)}`,
      { cause },
    );
  }
}

function parseKey(text: string, where: string): Buffer {
  const trimmed = text.trim();
  if (/^[0-9a-f]{64}$/i.test(trimmed)) return Buffer.from(trimmed, 'hex');
  if (/^[A-Za-z0-9+/]{43}=$/.test(trimmed)) return Buffer.from(trimmed, 'base64');
  throw new CasemateError(
    'secret_unreadable',
    `${where} holds no key: ${secretKeyBytes} bytes in hex or base64.`,
  );
}
