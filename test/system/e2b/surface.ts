/** The public calls of E2B's SDK, read from its own types, and what became of those that a test made. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** Classes whose instances or statics programs call, and the words for them in the documentation. */
const classes: Readonly<Record<string, string>> = {
  SandboxApi: 'Sandbox',
  Sandbox: 'Sandbox',
  SandboxPaginator: 'paginators',
  SnapshotPaginator: 'paginators',
  SecretPaginator: 'paginators',
  Paginator: 'paginators',
  Commands: 'commands',
  CommandHandle: 'CommandHandle',
  Filesystem: 'files',
  WatchHandle: 'WatchHandle',
  Pty: 'pty',
  Git: 'git',
  TemplateBase: 'Template',
  Volume: 'Volume',
  Secret: 'Secret',
};

const packages = fileURLToPath(new URL('../../../node_modules/', import.meta.url));

export function versionOf(name: string): string {
  return (JSON.parse(readFileSync(`${packages}${name}/package.json`, 'utf8')) as { version: string }).version;
}

/** `Sandbox.create`, `files.read`, …: everything public that its types declare. */
export function publicCalls(name: string): string[] {
  const text = readFileSync(`${packages}${name}/dist/index.d.ts`, 'utf8');
  const source = ts.createSourceFile('index.d.ts', text, ts.ScriptTarget.Latest, true);
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  const found = source.statements.filter(ts.isClassDeclaration).flatMap((declared) => {
    const shown = classes[declared.name?.text ?? ''];
    if (shown === undefined) return [];
    return declared.members
      .filter(ts.isMethodDeclaration)
      .filter((member) => (ts.getCombinedModifierFlags(member) & hidden) === 0)
      .map((member) => `${shown}.${member.name.getText()}`);
  });
  return [...new Set(found)];
}

type Method = (this: unknown, ...given: unknown[]) => unknown;

/** Notes for every call of what it watches whether it ever came to a good end, else why not. */
export class Recorder {
  /** `✓`, or the message of the last failure. */
  readonly outcomes = new Map<string, string>();

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
      const watched: Method = function (...given) {
        try {
          const result = original.apply(this, given);
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

  /** Gives calls that nobody could make the reason why another one failed. */
  because(calls: readonly string[], of: string): void {
    const reason = this.outcomes.get(of) ?? 'no test calls it';
    for (const call of calls) {
      if (reason !== '✓' || !this.outcomes.has(call)) this.outcomes.set(call, reason);
    }
  }
}

export interface Column {
  readonly title: string;
  /** Every public call with its outcome. */
  readonly outcomes: ReadonlyMap<string, string>;
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
