/** The public calls of E2B's SDK, read from its own types, and what became of those that a test made. */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** What the documentation calls a class's own calls, and those of its objects. */
const classes: Readonly<Record<string, readonly [ofClass: string, ofObjects: string]>> = {
  SandboxApi: ['Sandbox', 'sandbox'],
  Sandbox: ['Sandbox', 'sandbox'],
  SandboxPaginator: ['', 'SandboxPaginator'],
  SnapshotPaginator: ['', 'SnapshotPaginator'],
  SecretPaginator: ['', 'SecretPaginator'],
  Commands: ['', 'commands'],
  CommandHandle: ['', 'CommandHandle'],
  Filesystem: ['', 'files'],
  WatchHandle: ['', 'WatchHandle'],
  Pty: ['', 'pty'],
  Git: ['', 'git'],
  TemplateBase: ['Template', 'template'],
  ReadyCmd: ['', 'ReadyCmd'],
  LogEntry: ['', 'LogEntry'],
  VNCServer: ['', 'stream'],
  Volume: ['Volume', 'volume'],
  Secret: ['Secret', ''],
  Result: ['', 'Result'],
  Execution: ['', 'Execution'],
};

/** Classes that no program has an object of, or that hold addresses and reach no server. */
const inner = ['ConnectionConfig', 'VolumeConnectionConfig', 'ClientFactory', 'Paginator', 'OutputMessage'];

/** What stands for a call that no test made; `allCalled` refuses it. */
export const uncalled = 'no test calls it';

const packages = fileURLToPath(new URL('../../../node_modules/', import.meta.url));

export function versionOf(name: string): string {
  return (JSON.parse(readFileSync(`${packages}${name}/package.json`, 'utf8')) as { version: string }).version;
}

/** `Sandbox.create`, `files.read`, …: everything public that its types declare; a class that is not known is an error. */
export function publicCalls(name: string): string[] {
  const text = readFileSync(`${packages}${name}/dist/index.d.ts`, 'utf8');
  const source = ts.createSourceFile('index.d.ts', text, ts.ScriptTarget.Latest, true);
  const { statements } = source;
  const ofClasses = statements.filter(ts.isClassDeclaration).flatMap(callsOfClass);
  const exported = statements.filter(ts.isExportDeclaration).flatMap(({ exportClause }) => {
    if (exportClause === undefined || !ts.isNamedExports(exportClause)) return [];
    return exportClause.elements.map(({ name, propertyName }) => (propertyName ?? name).text);
  });
  const functions = statements
    .filter(ts.isFunctionDeclaration)
    .map((declared) => declared.name?.text ?? '')
    .filter((call) => exported.includes(call) && /^[a-z]/.test(call)) // a year ago `Template` was a function
    .map((call) => `functions.${call}`);
  return [...new Set([...ofClasses, ...functions])];
}

function callsOfClass(declared: ts.ClassDeclaration): string[] {
  const name = declared.name?.text ?? '';
  const isClient = name === 'E2B'; // its parts are classes that are bound to its options
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  const members = declared.members
    .filter((member) => ts.isMethodDeclaration(member) || (isClient && ts.isPropertyDeclaration(member)))
    .filter((member) => (ts.getCombinedModifierFlags(member) & hidden) === 0);
  if (members.length === 0 || inner.includes(name)) return [];
  const shown = isClient ? (['', 'E2B'] as const) : classes[name];
  assert.ok(shown !== undefined, `the SDK has a class ${name} that no table knows`);
  return members.map((member) => {
    const isStatic = (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Static) !== 0;
    return `${shown[isStatic ? 0 : 1]}.${member.name?.getText()}`;
  });
}

/** Every public call of a package with what became of it; one that no test made is an error. */
export function allCalled(
  calls: readonly string[],
  outcomes: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const all = calls.map((call): [string, string] => [call, outcomes.get(call) ?? uncalled]);
  const missing = all.filter(([, outcome]) => outcome === uncalled).map(([call]) => call);
  assert.deepEqual(missing, [], 'public calls that no test makes');
  return new Map(all);
}

type Method = (this: unknown, ...given: unknown[]) => unknown;

/** Notes for every call of what it watches whether it ever came to a good end, else why not. */
export class Recorder {
  /** `✓`, or the message of the last failure. */
  readonly outcomes = new Map<string, string>();
  /** Whether the SDK itself calls: that is not noted, because no test made the call. */
  private readonly inside = new AsyncLocalStorage<boolean>();

  /** Watches all methods of an object, from now on. @param shown what the documentation calls it. */
  watch(owner: object, shown: string): void {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(owner))) {
      if (name === 'constructor' || typeof value !== 'function' || /^[A-Z]/.test(name)) continue;
      const original = value as Method;
      const { outcomes } = this;
      const good = (): unknown => outcomes.set(`${shown}.${name}`, '✓');
      const bad = (error: unknown): void => {
        if (outcomes.get(`${shown}.${name}`) === '✓') return;
        outcomes.set(`${shown}.${name}`, error instanceof Error ? error.message : String(error));
      };
      const { inside } = this;
      const watched: Method = function (...given) {
        if (inside.getStore() === true) return original.apply(this, given);
        try {
          const result = inside.run(true, () => original.apply(this, given));
          if (result instanceof Promise) result.then(good, bad);
          else good();
          return result;
        } catch (error) {
          bad(error);
          throw error;
        }
      };
      Object.defineProperty(owner, name, { value: watched, writable: true, configurable: true });
    }
  }

  /** Notes for calls that cannot be watched what became of work that they are in. */
  async note(calls: readonly string[], work: () => Promise<unknown>): Promise<void> {
    const became = await work().then(
      () => '✓',
      (error: Error) => error.message,
    );
    for (const call of calls) this.outcomes.set(call, became);
  }
}

/** The outcomes that a program printed as JSON, after all else that it said. */
export function lastLine(output: string): ReadonlyMap<string, string> {
  const line = output.split('\n').findLast((text) => text.startsWith('{')) ?? '{}';
  return new Map(Object.entries(JSON.parse(line) as Record<string, string>));
}

export interface Column {
  readonly title: string;
  /** Every public call with its outcome. */
  readonly outcomes: ReadonlyMap<string, string>;
}

/** Two columns of a Python SDK, whose program says what became of its blocking calls and of its asynchronous ones. */
export function pythonColumns(version: string, output: string): Column[] {
  const line = output.split('\n').findLast((text) => text.startsWith('{')) ?? '{}';
  const halves = Object.entries(JSON.parse(line) as Record<string, Record<string, string>>);
  return halves.map(([half, said]) => {
    const outcomes = new Map(Object.entries(said));
    return { title: `${version} ${half}`.trim(), outcomes: allCalled([...outcomes.keys()], outcomes) };
  });
}

/** One row a class and pair of outcomes, so that what works reads as a list. */
export function table(columns: readonly Column[]): string {
  const calls = [...new Set(columns.flatMap(({ outcomes }) => [...outcomes.keys()]))];
  const rows = new Map<string, string[]>();
  for (const call of calls) {
    const [shown = '', name = ''] = call.split('.');
    const cells = columns.map(({ outcomes }) => said(outcomes.get(call)));
    const key = JSON.stringify([shown, ...cells]);
    rows.set(key, [...(rows.get(key) ?? []), `\`${name}\``]);
  }
  const lines = [...rows].map(([key, names]) => {
    const [shown, ...cells] = JSON.parse(key) as string[];
    return [`\`${shown}\``, [...new Set(names)].join(', '), ...cells];
  });
  const all = [
    ['', 'calls', ...columns.map(({ title }) => title)],
    ['-', '-', ...columns.map(() => '-')],
    ...lines,
  ];
  return all.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function said(outcome: string | undefined): string {
  if (outcome === undefined) return 'has none';
  return outcome === '✓' ? '✓' : outcome.replaceAll('|', '/').replaceAll(/\s+/g, ' ').slice(0, 160);
}

const page = fileURLToPath(new URL('../../../docs/e2b.md', import.meta.url));

/** Holds a block of the page to a table; with CASEMATE_WRITE_DOCS in the environment it is written instead. */
export function holdBlock(name: string, made: string): void {
  const whole = readFileSync(page, 'utf8');
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const [from, to] = [whole.indexOf(begin) + begin.length, whole.indexOf(end)];
  assert.ok(from >= begin.length && to >= from, `docs/e2b.md has no block ${name}`);
  if (process.env.CASEMATE_WRITE_DOCS !== undefined) {
    writeFileSync(page, `${whole.slice(0, from)}\n\n${made}\n\n${whole.slice(to)}`);
  } else {
    const held = whole.slice(from, to).trim();
    assert.deepEqual(rowsOf(held), rowsOf(made), 'CASEMATE_WRITE_DOCS=1 writes what is so');
  }
}

/** Without the spaces that a formatter makes columns of. */
function rowsOf(text: string): string[] {
  return text.split('\n').map((row) => row.replaceAll(/ +/g, ' ').replaceAll(/-+/g, '-'));
}
