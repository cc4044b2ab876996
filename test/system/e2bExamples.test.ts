/** The programs in examples/e2b/, which know nothing of Casemate, with the environment changed and nothing else. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type DomainServer, startDomainServer } from './domain.ts';
import { pythonWith, run, scriptArgv } from './python.ts';
import { missingForServer, needTemplates } from './server.ts';

const examples = fileURLToPath(new URL('../../examples/e2b/', import.meta.url));
const resolving = (language: string): string =>
  fileURLToPath(new URL(`e2b_domain/${language}`, import.meta.url));

const wanted: Readonly<Record<string, RegExp>> = {
  analysis: /^570 units, "Units sold" in chart\.png$/m,
  streaming: /^step 1\nstep 2\nstep 3\nhello Ada\nended early: true$/im,
  server: /^200 <h1>Hello from a sandbox<\/h1>\nstill there: true$/im,
  git: /^-hello\n\+good morning\nBe politer\nSay hello$/m,
  retries: /^try 1 failed: NameError.*\ntry 2: 15\.5$/m,
};

describe('programs that were written for E2B', { skip: missingForServer() ?? false }, () => {
  let domain: DomainServer;
  let folder: string;
  before(async () => {
    domain = await startDomainServer('own');
    await needTemplates(domain.server, ['code-interpreter']);
    folder = mkdtempSync(join(tmpdir(), 'casemate-examples-'));
  });
  after(async () => {
    await domain.close();
    rmSync(folder, { recursive: true });
  });

  for (const [name, words] of Object.entries(wanted)) {
    it(`${name}, in JavaScript`, async () => {
      const argv = ['--disable-warning=ExperimentalWarning', '--import', resolving('resolve.ts')];
      await works(process.execPath, [...argv, join(examples, `${name}.ts`)], {}, words);
    });

    it(`${name}, in Python`, async (test) => {
      const python = await pythonWith('e2b-code-interpreter-2.11.5', [
        'e2b-code-interpreter==2.11.5',
        'e2b==2.63.0',
      ]);
      if (python.missing !== undefined) return test.skip(python.missing);
      // Its client resolves names by itself, so it is told where the server is; the preview goes by the domain.
      const { url } = domain.server;
      const env = { E2B_API_URL: url, E2B_SANDBOX_URL: url, PYTHONPATH: resolving('python') };
      await works(python.path, scriptArgv(join(examples, `${name}.py`)), env, words);
    });
  }

  async function works(
    program: string,
    argv: readonly string[],
    env: Record<string, string>,
    words: RegExp,
  ): Promise<void> {
    const { code, output } = await run(program, argv, { ...domain.env, ...env }, folder);
    assert.equal(code, 0, output);
    assert.match(output, words);
    const chart = join(folder, 'chart.png');
    if (!existsSync(chart)) return;
    assert.equal(readFileSync(chart).subarray(1, 4).toString(), 'PNG');
    rmSync(chart);
  }
});
