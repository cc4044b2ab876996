/** TLS for a domain that nobody bought a certificate for: an authority of this server's own, made once, and a leaf a start. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type CertifiedKey,
  generateKeys,
  makeAuthority,
  openAuthority,
  pemOf,
} from '../../base/certificates.ts';
import type { TlsPair } from './listener.ts';

const dayMs = 86_400_000;
const authorityMs = 10 * 365 * dayMs;
/** The longest that clients accept of a server's certificate. */
const leafMs = 397 * dayMs;

/** @param files where the authority's certificate and key lie, or shall lie. */
export async function localTls(
  domain: string,
  files: { readonly certificate: string; readonly key: string },
): Promise<TlsPair> {
  const authority = existsSync(files.key) ? read(files) : await make(files, domain);
  const issuer = await openAuthority(authority);
  const keys = await generateKeys();
  const names = [domain, `*.${domain}`, 'localhost'];
  const leaf = await issuer.issue({
    names,
    subject: `CN=${domain}`,
    publicKey: keys.publicKey,
    validMs: leafMs,
  });
  return { cert: Buffer.from(`${leaf}\n${authority.certificate}`), key: Buffer.from(pemOf(keys.privateKey)) };
}

function read(files: { readonly certificate: string; readonly key: string }): CertifiedKey {
  return { certificate: readFileSync(files.certificate, 'utf8'), key: readFileSync(files.key, 'utf8') };
}

async function make(
  files: { readonly certificate: string; readonly key: string },
  domain: string,
): Promise<CertifiedKey> {
  const made = await makeAuthority(`CN=Casemate authority of ${domain}`, authorityMs);
  mkdirSync(dirname(files.key), { recursive: true, mode: 0o700 });
  writeFileSync(files.certificate, made.certificate, { mode: 0o644 });
  writeFileSync(files.key, made.key, { mode: 0o600 });
  return made;
}
