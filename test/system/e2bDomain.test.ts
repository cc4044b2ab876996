/** E2B's SDK with E2B_DOMAIN and a key alone, as a team would set it: TLS, HTTP/2, one host a port of a sandbox. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingForServer, startServer, type TestServer } from './server.ts';

const folder = fileURLToPath(new URL('e2b_domain/', import.meta.url));

describe('the E2B SDK with E2B_DOMAIN alone', { skip: missingForServer() ?? false }, () => {
  let server: TestServer;
  let certificates: string;
  before(async () => {
    certificates = mkdtempSync(join(tmpdir(), 'casemate-tls-'));
    makeCertificate(certificates);
    const [cert, key] = ['server.pem', 'server.key'].map((name) => join(certificates, name));
    server = await startServer({ flags: ['--tls-cert', cert ?? '', '--tls-key', key ?? ''] });
  });
  after(async () => {
    await server.close();
    rmSync(certificates, { recursive: true });
  });

  for (const sdk of ['e2b', 'e2b-a-year-ago']) {
    it(`finds everything, by ${sdk}`, async () => {
      const { code, output } = await run(join(folder, 'program.ts'), {
        E2B_DOMAIN: `sandboxes.test:${new URL(server.url).port}`,
        E2B_API_KEY: server.apiKey.replace('casemate_', 'e2b_'),
        NODE_EXTRA_CA_CERTS: join(certificates, 'ca.pem'),
        SDK: sdk,
      });
      assert.equal(code, 0, output);
      assert.match(output, /^all found$/m);
    });
  }
});

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
      { env: { ...process.env, ...env }, timeout: 60_000 },
      (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` }),
    );
  });
}
