/** A certificate authority per sandbox, trusted by that sandbox alone; its key stays in the proxy's own folder. */
import 'reflect-metadata';
import { createPrivateKey, KeyObject, randomBytes, type webcrypto } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import * as x509 from '@peculiar/x509';
import { egressLimits } from './limits.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;
/** Longer than any sandbox lives. */
const authorityMs = 400 * dayMs;
const leafMs = 30 * dayMs;
/** A sandbox whose clock lags still finds the certificate valid. */
const beforeMs = 2 * dayMs;

export interface Authority {
  /** PEM, for the sandbox's trust stores. */
  readonly certificate: string;
  /** What the proxy shows to the sandbox for a host. */
  contextFor(host: string): Promise<SecureContext>;
}

interface Kept {
  readonly certificate: string;
  readonly key: string;
}

/** Takes the one that was made before, or makes one. */
export async function createAuthority(directory: string, id: string): Promise<Authority> {
  const file = fileOf(directory, id);
  const kept = await readFile(file, 'utf8').then(
    (text) => JSON.parse(text) as Kept,
    () => make(directory, file),
  );
  const issuer = new x509.X509Certificate(kept.certificate);
  const issuerKey = await importKey(kept.key);
  const leafKeys = await generateKeys();
  const leafKey = pemOf(leafKeys.privateKey);
  const contexts = new Map<string, Promise<SecureContext>>();
  return {
    certificate: kept.certificate,
    contextFor(host) {
      const known = contexts.get(host);
      if (known !== undefined) return known;
      if (contexts.size >= egressLimits.certificatesKept) contexts.clear();
      const made = issue({ host, issuer, issuerKey, publicKey: leafKeys.publicKey }).then((leaf) =>
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

async function make(directory: string, file: string): Promise<Kept> {
  const keys = await generateKeys();
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: 'CN=Casemate egress of this sandbox',
    notBefore: new Date(now - beforeMs),
    notAfter: new Date(now + authorityMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const kept = { certificate: certificate.toString('pem'), key: pemOf(keys.privateKey) };
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await writeFile(`${file}.new`, JSON.stringify(kept), { mode: 0o600 });
  await rename(`${file}.new`, file);
  return kept;
}

async function issue(options: {
  readonly host: string;
  readonly issuer: x509.X509Certificate;
  readonly issuerKey: webcrypto.CryptoKey;
  readonly publicKey: webcrypto.CryptoKey;
}): Promise<string> {
  const now = Date.now();
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: 'CN=Casemate egress', // names may be longer than a common name can be
    issuer: options.issuer.subject,
    notBefore: new Date(now - beforeMs),
    notAfter: new Date(now + leafMs),
    signingAlgorithm: algorithm,
    publicKey: options.publicKey,
    signingKey: options.issuerKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: options.host }]),
      await x509.AuthorityKeyIdentifierExtension.create(options.issuer),
      await x509.SubjectKeyIdentifierExtension.create(options.publicKey),
    ],
  });
  return leaf.toString('pem');
}

function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40; // positive, and never shorter
  return bytes.toString('hex');
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

function pemOf(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }) as string;
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}
