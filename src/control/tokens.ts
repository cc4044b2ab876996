/** Tokens that open one thing, mostly a sandbox: derived from a secret of the server, so that nothing about them is stored. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** `agent` opens programs and files, `ports` the servers inside; `upload` one file of a build, `volume` the files of one. */
export type TokenPurpose = 'agent' | 'ports' | 'upload' | 'volume';

export class SandboxTokens {
  readonly #secret: Buffer;

  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  /** The same for the same sandbox always: a client that connects again gets the token that it had. */
  of(purpose: TokenPurpose, id: string): string {
    const seal = createHmac('sha256', this.#secret).update(`${purpose} ${id}`).digest('base64url');
    return `${id}-${seal}`;
  }

  matches(purpose: TokenPurpose, id: string, token: string): boolean {
    return sameText(this.of(purpose, id), token);
  }

  /** What the token was made for. */
  named(purpose: TokenPurpose, token: string): string | undefined {
    const id = /^(.+)-[\w-]{43}$/.exec(token)?.[1];
    return id !== undefined && this.matches(purpose, id, token) ? id : undefined;
  }
}

/** The sandbox that a token says it is for; whether it is, `matches` tells. */
export function sandboxNamedBy(token: string): string | undefined {
  return /^([a-z0-9]{20})-[\w-]{43}$/.exec(token)?.[1];
}

/** Compares in a time that tells nothing of where two texts differ. */
export function sameText(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** The server's secret, made at its first start; whoever reads it can open every sandbox. */
export function tokenSecret(file: string): Buffer {
  if (!existsSync(file)) writeFileSync(file, randomBytes(32), { mode: 0o600, flag: 'wx' });
  return readFileSync(file);
}
