/** A certificate authority per sandbox, trusted by that sandbox alone; its key stays in the proxy's own folder. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import {
  type CertifiedKey,
  generateKeys,
  makeAuthority,
  openAuthority,
  pemOf,
} from '../base/certificates.ts';
import { egressLimits } from './limits.ts';

const dayMs = 86_400_000;
/** Longer than any sandbox lives. */
const authorityMs = 400 * dayMs;
const leafMs = 30 * dayMs;

export interface Authority {
  /** PEM, for the sandbox's trust stores. */
  readonly certificate: string;
  /** What the proxy shows to the sandbox for a host. */
  contextFor(host: string): Promise<SecureContext>;
}

/** Takes the one that was made before, or makes one. */
export async function createAuthority(directory: string, id: string): Promise<Authority> {
  const file = fileOf(directory, id);
  const kept = await readFile(file, 'utf8').then(
    (text) => JSON.parse(text) as CertifiedKey,
    () => make(directory, file),
  );
  const issuer = await openAuthority(kept);
  const leafKeys = await generateKeys();
  const leafKey = pemOf(leafKeys.privateKey);
  const contexts = new Map<string, Promise<SecureContext>>();
  return {
    certificate: kept.certificate,
    contextFor(host) {
      const known = contexts.get(host);
      if (known !== undefined) return known;
      if (contexts.size >= egressLimits.certificatesKept) contexts.clear();
      const made = issuer
        // Names may be longer than a common name can be.
        .issue({
          names: [host],
          subject: 'CN=Casemate egress',
          publicKey: leafKeys.publicKey,
          validMs: leafMs,
        })
        .then((leaf) =>
          createSecureContext({ key: leafKey, cert: `${leaf}\n${kept.certificate}`, minVersion: 'TLSv1.2' }),
        );
      contexts.set(host, made);
      made.catch(() => contexts.delete(host));
      return made;
    },
  };
}

/** The key of a sandbox that has ended is worth nothing to anybody. */
export async function removeAuthority(directory: string, id: string): Promise<void> {
  await rm(fileOf(directory, id), { force: true });
}

function fileOf(directory: string, id: string): string {
  return join(directory, `${id}.authority.json`);
}

async function make(directory: string, file: string): Promise<CertifiedKey> {
  const kept = await makeAuthority('CN=Casemate egress of this sandbox', authorityMs);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(`${file}.new`, JSON.stringify(kept), { mode: 0o600 });
  await rename(`${file}.new`, file);
  return kept;
}
