/** Runs code in the Jupyter kernels of a sandbox of the template `code-interpreter`. */
import { CasemateError } from './errors.ts';
import type { Ports } from './ports.ts';

/** Where the template's server listens. */
const interpreterPort = 49_999;

export type CodeLanguage = 'python' | 'bash' | 'javascript' | 'typescript' | 'r' | 'java';

export interface RunCodeOptions {
  /** Python by default. */
  readonly language?: CodeLanguage;
  /** Runs in this context instead of the language's own. */
  readonly context?: CodeContext;
  /** Variables for this run alone. */
  readonly env?: Readonly<Record<string, string>>;
  readonly onStdout?: (text: string) => void;
  readonly onStderr?: (text: string) => void;
  /** Aborting it interrupts the code. */
  readonly signal?: AbortSignal;
}

/** A kernel of its own. */
export interface CodeContext {
  readonly id: string;
  readonly language: CodeLanguage;
  readonly cwd: string;
}

/** One value in every form that the kernel gave; pictures are base64. */
export interface CodeResult {
  readonly is_main_result: boolean;
  readonly text?: string;
  readonly html?: string;
  readonly markdown?: string;
  readonly svg?: string;
  readonly png?: string;
  readonly jpeg?: string;
  readonly latex?: string;
  readonly json?: unknown;
  /** A table by its columns. */
  readonly data?: Readonly<Record<string, readonly unknown[]>>;
  /** What a matplotlib figure shows. */
  readonly chart?: Readonly<Record<string, unknown>>;
}

export interface CodeExecution {
  /** The last value as text. */
  readonly text: string | undefined;
  readonly results: readonly CodeResult[];
  readonly stdout: string;
  readonly stderr: string;
  /** What the code raised. */
  readonly error: { readonly name: string; readonly value: string; readonly traceback: string } | undefined;
  readonly executionCount: number | undefined;
}

type Event =
  | { type: 'stdout' | 'stderr'; text: string }
  | ({ type: 'result' } & CodeResult)
  | { type: 'error'; name: string; value: string; traceback: string }
  | { type: 'number_of_executions'; execution_count: number }
  | { type: 'keepalive' | 'end_of_execution' };

/** @throws CasemateError `port_unreachable` in a sandbox of another template, `not_found` for a context that is gone */
export async function runCode(ports: Ports, code: string, options: RunCodeOptions): Promise<CodeExecution> {
  const { language, context, env, signal } = options;
  const body = { code, language, context_id: context?.id, env_vars: env };
  await using forward = await ports.forward(interpreterPort);
  const answer = await post(`${forward.url}/execute`, body, signal);
  const results: CodeResult[] = [];
  let [stdout, stderr] = ['', ''];
  let error: CodeExecution['error'];
  let executionCount: number | undefined;
  for await (const event of eventsOf(answer)) {
    if (event.type === 'stdout') {
      stdout += event.text;
      options.onStdout?.(event.text);
    } else if (event.type === 'stderr') {
      stderr += event.text;
      options.onStderr?.(event.text);
    } else if (event.type === 'result') {
      const { type: _type, ...result } = event;
      results.push(result);
    } else if (event.type === 'error') {
      error = { name: event.name, value: event.value, traceback: event.traceback };
    } else if (event.type === 'number_of_executions') {
      executionCount = event.execution_count;
    }
  }
  const text = results.find((result) => result.is_main_result)?.text;
  return { text, results, stdout, stderr, error, executionCount };
}

/** @throws CasemateError `port_unreachable`, `invalid_request` for a language or a folder that is not there */
export async function createCodeContext(
  ports: Ports,
  options: { readonly language?: CodeLanguage; readonly cwd?: string },
): Promise<CodeContext> {
  await using forward = await ports.forward(interpreterPort);
  return (await (await post(`${forward.url}/contexts`, options, undefined)).json()) as CodeContext;
}

async function post(url: string, body: object, signal: AbortSignal | undefined): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  const request = { method: 'POST', headers, body: JSON.stringify(body), ...(signal && { signal }) };
  const answer = await fetch(url, request).catch((cause: unknown) => {
    if (signal?.aborted === true) throw cause;
    throw new CasemateError(
      'port_unreachable',
      'No code interpreter answers: is the sandbox of the template code-interpreter?',
    );
  });
  if (answer.ok) return answer;
  const { message } = (await answer.json()) as { message: string };
  throw new CasemateError(answer.status === 404 ? 'not_found' : 'invalid_request', message);
}

/** One JSON object a line. */
async function* eventsOf(answer: Response): AsyncGenerator<Event> {
  let rest = '';
  for await (const piece of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = `${rest}${piece}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line) as Event;
  }
}
