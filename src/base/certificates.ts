/** Certificates that this server makes itself: authorities, and leaves that they sign. */
import 'reflect-metadata';
import { createPrivateKey, KeyObject, randomBytes, type webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Somebody whose clock lags still finds the certificate valid. */
const beforeMs = 2 * 86_400_000;

/** In PEM. */
export interface CertifiedKey {
  readonly certificate: string;
  readonly key: string;
}

/** Signs for whoever trusts its certificate. */
export interface Issuer {
  /** PEM. */
  readonly certificate: string;
  /** A server's certificate for DNS names, in PEM. */
  issue(request: {
    readonly names: readonly string[];
    readonly subject: string;
    readonly publicKey: webcrypto.CryptoKey;
    readonly validMs: number;
  }): Promise<string>;
}

export async function makeAuthority(subject: string, validMs: number): Promise<CertifiedKey> {
  const keys = await generateKeys();
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: subject,
    notBefore: new Date(now - beforeMs),
    notAfter: new Date(now + validMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: certificate.toString('pem'), key: pemOf(keys.privateKey) };
}

export async function openAuthority({ certificate, key }: CertifiedKey): Promise<Issuer> {
  const issuer = new x509.X509Certificate(certificate);
  const signingKey = await importKey(key);
  return {
    certificate,
    issue: async ({ names, subject, publicKey, validMs }) => {
      const now = Date.now();
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject,
        issuer: issuer.subject,
        notBefore: new Date(now - beforeMs),
        notAfter: new Date(now + validMs),
        signingAlgorithm: algorithm,
        publicKey,
        signingKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
          new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
          await x509.AuthorityKeyIdentifierExtension.create(issuer),
          await x509.SubjectKeyIdentifierExtension.create(publicKey),
        ],
      });
      return leaf.toString('pem');
    },
  };
}

function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40; // positive, and never shorter
  return bytes.toString('hex');
}

export function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

export function pemOf(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }) as string;
}

async function importKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}
