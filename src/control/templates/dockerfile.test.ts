/** Dockerfiles are read as Docker reads them, and what cannot be built is refused at its line. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { CasemateError } from '../../base/errors.ts';
import { parseDockerfile } from './dockerfile.ts';
import { configOf, imageReference } from './spec.ts';
import { expand, pairs, words } from './words.ts';
import { entriesOf, targetOf } from './copySources.ts';

const lookup = (name: string): string | undefined => ({ A: 'one', EMPTY: '', SPACE: 'a b' })[name];

it('replaces variables as Docker does', () => {
  // A dollar sign in front of a brace is written @.
  const cases: [text: string, value: string][] = [
    ['$A/@{A}x', 'one/onex'],
    ['@{NONE:-two}@{NONE-three}@{EMPTY:-four}@{EMPTY-five}', 'twothreefour'],
    ['@{A:+set}@{NONE:+set}@{EMPTY:+set}@{EMPTY+set}', 'setset'],
    ['@{NONE:-$A}', 'one'],
    ['\'$A\' "$A" \\$A', '$A one $A'],
    ['"a\\nb\\"c"', 'a\\nb"c'],
    ['cost: 5$', 'cost: 5$'],
  ];
  for (const [text, value] of cases) assert.equal(expand(text.replaceAll('@', '$'), lookup), value, text);
});

it('splits words at blanks that are not quoted, and never inside of a variable', () => {
  assert.deepEqual(words('a "b c" d\\ e $SPACE \'\'', lookup), ['a', 'b c', 'd e', 'a b', '']);
  assert.deepEqual(pairs('A=1 B="x y" C=$A', lookup), [
    ['A', '1'],
    ['B', 'x y'],
    ['C', 'one'],
  ]);
  assert.deepEqual(pairs('OLD the $A form', lookup), [['OLD', 'the one form']]);
});

it('reads stages, flags, lists, heredocs and lines', () => {
  const text = `ARG TAG=12
FROM --platform=linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'} debian:\${TAG} AS One
RUN --mount=type=cache,target=/c a && \\
    # not this
    b
FROM one
COPY --from=one --chown=1:2 ["a b", "/c"]
RUN <<EOF
x $Y
EOF
COPY <<"RAW" /to
$Z
RAW
`;
  const { stages } = parseDockerfile(text, { TAG: '13' });
  assert.deepEqual(
    stages.map(({ from, name, line }) => [from, name, line]),
    [
      ['debian:13', 'one', 2],
      ['one', undefined, 6],
    ],
  );
  const [run] = stages[0]?.instructions ?? [];
  assert.equal(run?.text.replaceAll(/\s+/g, ' '), 'a && b');
  assert.deepEqual(run?.flags, [['mount', 'type=cache,target=/c']]);
  const [copy, script, raw] = stages[1]?.instructions ?? [];
  assert.deepEqual(copy?.list, ['a b', '/c']);
  assert.equal(copy?.line, 7);
  assert.deepEqual(script?.heredocs, [{ name: 'EOF', content: 'x $Y\n', expands: true }]);
  assert.deepEqual(raw?.heredocs, [{ name: 'RAW', content: '$Z\n', expands: false }]);
});

it('names the line of what it does not take', () => {
  const cases: [text: string, line: number][] = [
    ['RUN x\nFROM a', 1],
    ['', 1],
    ['FROM a\nONBUILD RUN x', 2],
    ['FROM a AS', 1],
    ['FROM a\n\nFETCH x', 3],
    ['FROM --platform=windows/x86 a', 1],
    ['FROM a\nRUN', 2],
  ];
  for (const [text, line] of cases)
    assert.throws(
      () => parseDockerfile(text, {}),
      (error) => error instanceof CasemateError && error.message.startsWith(`Dockerfile line ${line}:`),
      text,
    );
});

it('knows which registry an image is of', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const cases: [text: string, registry: string, repository: string, reference: string][] = [
    ['python', 'hub', 'library/python', ':latest'],
    ['team/app:v1', 'hub', 'team/app', ':v1'],
    ['localhost/app', 'localhost', 'app', ':latest'],
    ['registry.example:5000/a/b:c', 'registry.example:5000', 'a/b', ':c'],
    [`app@${digest}`, 'hub', 'library/app', `@${digest}`],
  ];
  for (const [text, registry, repository, reference] of cases)
    assert.deepEqual(imageReference(text), { kind: 'registry', registry, repository, reference }, text);
  for (const text of ['', '-o', '--flag', 'A/B', '../x', 'a b', 'x@sha256:1', 'a//b', 'a:b:c', 'http://x/y'])
    assert.equal(imageReference(text), undefined, text);
});

it('takes of an image’s configuration what has the right form', () => {
  const hostile = JSON.stringify({
    config: {
      Env: ['A=b', '=c', 7],
      User: '7:8',
      WorkingDir: 'x',
      Cmd: 'text',
      Labels: [],
      ExposedPorts: null,
    },
  });
  const { onBuild, ...config } = configOf(hostile);
  assert.deepEqual(config, { env: { A: 'b' }, user: '7', labels: {}, ports: [] });
  assert.equal(onBuild, false);
  assert.throws(() => configOf('no json'), /is no JSON/);
});

it('finds what COPY means in a context', () => {
  const entries = ['a', 'a/x.txt', 'a/y.md', 'b.txt', 'ab'].map((path) => ({ path }));
  const paths = (source: string): string[] => entriesOf(entries, source).map(({ path }) => path);
  assert.deepEqual(paths('a'), ['a', 'a/x.txt', 'a/y.md']);
  assert.deepEqual(paths('./a/'), ['a', 'a/x.txt', 'a/y.md']);
  assert.deepEqual(paths('/../b.txt'), ['b.txt']);
  assert.deepEqual(paths('a/*.txt'), ['a/x.txt']);
  assert.deepEqual(
    paths('*'),
    entries.map(({ path }) => path),
  );
  assert.deepEqual(paths('.').length, entries.length);
  assert.deepEqual(paths('none'), []);
  assert.deepEqual(
    ['.', 'x', 'x/', '/y', '/'].map((target) => targetOf(target, '/w')),
    ['/w/', '/w/x', '/w/x/', '/y', '/'],
  );
});
