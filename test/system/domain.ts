/** A server with TLS under a domain of its own, and programs for which that domain resolves and its CA is known. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startServer, type TestServer } from './server.ts';

const folder = fileURLToPath(new URL('e2b_domain/', import.meta.url));

export interface DomainServer {
  readonly server: TestServer;
  /** What a team would set, and how Python is told of the CA. */
  readonly env: Record<string, string>;
  /** Runs a program of `e2b_domain/` with what a team would set: E2B_DOMAIN and a key. */
  run(program: string, env: Record<string, string>): Promise<{ code: number; output: string }>;
  close(): Promise<void>;
}

/** @param authority the server's own, or one that a team brings with a certificate. @param moreFlags of `casemate serve`. */
export async function startDomainServer(
  authority: 'own' | 'brought' = 'brought',
  moreFlags: readonly string[] = [],
): Promise<DomainServer> {
  const certificates = mkdtempSync(join(tmpdir(), 'casemate-tls-'));
  const flags = authority === 'own' ? ['--domain', 'sandboxes.test'] : certificateFlags(certificates);
  const server = await startServer({ flags: [...flags, ...moreFlags] });
  const ca = authority === 'own' ? join(server.dataDir, 'server', 'ca.pem') : join(certificates, 'ca.pem');
  const own = {
    E2B_DOMAIN: `sandboxes.test:${new URL(server.url).port}`,
    E2B_API_KEY: server.apiKey.replace('casemate_', 'e2b_'),
    NODE_EXTRA_CA_CERTS: ca,
    SSL_CERT_FILE: ca,
  };
  return {
    server,
    env: own,
    run: (program, env) => run(join(folder, program), { ...own, ...env }),
    close: async () => {
      await server.close();
      rmSync(certificates, { recursive: true });
    },
  };
}

function certificateFlags(folder: string): string[] {
  makeCertificate(folder);
  return ['--tls-cert', join(folder, 'server.pem'), '--tls-key', join(folder, 'server.key')];
}

/** A CA that nobody knows, and its certificate for every name of the domain. */
function makeCertificate(target: string): void {
  const openssl = (...argv: string[]): void => {
    execFileSync('openssl', argv, { cwd: target, stdio: 'pipe' });
  };
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=test CA',
    '-days',
    '2',
  );
  openssl('req', ...newKey, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=sandboxes.test');
  writeFileSync(join(target, 'names'), 'subjectAltName=DNS:sandboxes.test,DNS:*.sandboxes.test\n');
  const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names', '-days', '2'];
  openssl('x509', '-req', '-in', 'server.csr', ...signing, '-out', 'server.pem');
}

/** The program runs in a process of its own: certificates are trusted and names are resolved for it alone. */
function run(program: string, env: Record<string, string>): Promise<{ code: number; output: string }> {
  const argv = ['--disable-warning=ExperimentalWarning', '--import', join(folder, 'resolve.ts'), program];
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      argv,
      { env: { ...process.env, ...env }, timeout: 240_000 },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` }),
    );
  });
}
