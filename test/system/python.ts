/** Python interpreters with packages of PyPI, for tests of SDKs that are written in it. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');

/**
 * An interpreter with packages of PyPI, made once a machine; or why there is none.
 * @param name of its folder.
 */
export async function pythonWith(
  name: string,
  packages: readonly string[],
): Promise<{ path: string; missing?: string }> {
  const venv = join(cache, 'casemate', name);
  const path = join(venv, 'bin', 'python');
  if (existsSync(join(venv, 'complete'))) return { path };
  const made = await run('python3', ['-m', 'venv', venv], {});
  if (made.code !== 0) return { path, missing: `python3 makes no venv: ${made.output.slice(-200)}` };
  const argv = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages];
  const installed = await run(path, argv, {});
  if (installed.code !== 0)
    return { path, missing: `PyPI cannot be reached: ${installed.output.slice(-200)}` };
  await run('touch', [join(venv, 'complete')], {});
  return { path };
}

/**
 * Ends without taking the interpreter apart: the newest SDK's HTTP client is native, and one of its threads ended a program
 * by a signal after its last line, once in many runs.
 */
const runAndLeave = `
import os, runpy, sys, traceback
code = 0
sys.path.insert(0, os.path.dirname(sys.argv[1]))
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
except SystemExit as end:
    code = end.code if isinstance(end.code, int) else int(end.code is not None)
except BaseException:
    traceback.print_exc()
    code = 1
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
`;

/** What Python is started with for a program in a file. */
export function scriptArgv(script: string): string[] {
  return ['-c', runAndLeave, script];
}

/** Runs a program to its end and answers all that it said. */
export function run(
  program: string,
  argv: readonly string[],
  env: Record<string, string>,
  cwd = process.cwd(),
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, argv, { cwd, env: { ...process.env, ...env }, timeout: 240_000 });
    let output = '';
    const hear = (text: string): void => {
      output = `${output}${text}`.slice(-20_000);
    };
    child.stdout.setEncoding('utf8').on('data', hear);
    child.stderr.setEncoding('utf8').on('data', hear);
    child.once('error', (error) => resolve({ code: null, output: String(error) }));
    child.once('close', (code) => resolve({ code, output }));
  });
}
